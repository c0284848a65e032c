"""What is known of a pretrained backbone before its weights are opened: where it is, its preprocessing, its training.

A backbone is named by a local folder in the hub's layout, or by a hub name that is in the local cache or within reach.
"""

from __future__ import annotations

import functools
import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sightbook.errors import ModelError
from sightbook.model import builtin, known


@dataclass(frozen=True)
class Preprocessing:
    """What a pretrained backbone was trained with: pixel scaling and input size."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    size: int
    resize: int
    resample: Literal["bilinear", "bicubic"]


def preprocessing(name: str) -> Preprocessing:
    """Reads preprocessor_config.json of a hub name or local folder; ModelError when there is none to read."""
    if name == builtin.BUILTIN:
        ours = builtin.read()
        return Preprocessing(ours.mean, ours.std, ours.frame.size, ours.frame.resize, ours.frame.resample)
    try:
        facts = _facts(name, "preprocessor_config.json")
    except (OSError, ValueError) as error:
        if not Path(name).is_dir():
            raise unusable(name, error) from None
        raise ModelError(
            f"{name} has no readable preprocessor_config.json, so its pixel scaling is not known: "
            "download the whole model"
        ) from None
    try:
        size = _edge(facts.get("crop_size") or facts.get("size") or 224)
        resize = _edge(facts.get("size") or size)
        if facts.get("crop_pct") and size < 384:  # ConvNeXt's way of saying resize: at 384 it does not crop
            resize = int(size / facts["crop_pct"])
        if facts.get("do_normalize", True):
            mean, std = (_three(facts.get(key, [0.5] * 3)) for key in ("image_mean", "image_std"))
        else:
            mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"preprocessor_config.json of {name} is not understood ({error}): download the model again"
        ) from None
    return Preprocessing(
        mean, std, size, max(size, resize), "bicubic" if facts.get("resample") == 3 else "bilinear"
    )


def has_dropout(name: str) -> bool:
    """Whether the network has dropout that training may turn on, as its config.json tells; False where none is read."""
    if name == builtin.BUILTIN:
        return False
    try:
        return "hidden_dropout_prob" in _facts(name, "config.json")
    except (OSError, ValueError):
        return False  # opening it says what is wrong


def _facts(name: str, file: str) -> Any:
    """The content of a JSON file of a hub name or local folder; OSError or ValueError where it cannot be read."""
    if Path(name).is_dir():
        path = Path(name) / file
    else:
        from huggingface_hub import hf_hub_download

        path = Path(hf_hub_download(name, file, local_files_only=not answers()))
    return json.loads(path.read_text(encoding="utf-8"))


def _edge(size: Any) -> int:
    """The edge in pixels of a size as processors write it: 224, {"height": 224, ...} or {"shortest_edge": 224}."""
    return int((size.get("height") or size["shortest_edge"]) if isinstance(size, dict) else size)


def _three(values: Any) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue


def find_cached() -> str | None:
    """The first of `known.AUTOMATIC` that is in the local cache; None when none is."""
    from huggingface_hub import try_to_load_from_cache

    files = ("config.json", "preprocessor_config.json", "model.safetensors")
    for name in known.AUTOMATIC:
        if all(isinstance(try_to_load_from_cache(name, file), str) for file in files):
            return name
    return None


def automatic() -> str | None:
    """The pretrained backbone for `--backbone auto`: that of the local cache, else the first of `known.AUTOMATIC` when
    the hub answers; None when neither."""
    return find_cached() or (known.AUTOMATIC[0] if answers() else None)


@functools.cache
def answers() -> bool:
    """Whether the hub can be reached, asked once: its own client retries for 23 s where there is no network."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
        with urllib.request.urlopen(request, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError as error:
        # A certificate that Python does not know means that somebody answered; the hub's client has its own list.
        return isinstance(getattr(error, "reason", None), ssl.SSLError)


def unusable(name: str, error: Exception) -> ModelError:
    """Why a pretrained backbone cannot be opened, and what to do."""
    reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if Path(name).is_dir():
        return ModelError(
            f"{name} does not hold a vision model that transformers can open ({reason}): "
            "give a folder in the hub's layout, or vit or resnet to train from scratch"
        )
    if "/" not in name:
        return ModelError(
            f"backbone {name!r} is no folder here, and a name on the hub has an owner before it, OWNER/NAME: try "
            f"{known.full_name(name)}, or vit or resnet to train from scratch"
        )
    if answers():
        return ModelError(f"backbone {name!r} cannot be opened from the hub ({reason}): check the name")
    return ModelError(
        f"backbone {name!r} is no folder here, not in the local cache and the hub cannot be reached: "
        f"on a machine with network run `hf download {name} --local-dir FOLDER`, copy FOLDER here "
        "and give it as --backbone"
    )

"""Backbones: pixels (B, 3, S, S) float, scaled to mean and deviation → features (B, F), through `transformers`.

A spec is a plain mapping that stands in config.json: {"kind", "transformers": config dict, "stem", "pool"}; `build`
makes the module of a spec with random weights, `pretrained` reads weights from a hub name or a local folder.
"""

from __future__ import annotations

import contextlib
import functools
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import torch
from torch import Tensor, nn

from sightbook.config import BackboneConfig
from sightbook.errors import ModelError

Spec = dict[str, Any]


@dataclass(frozen=True)
class Preprocessing:
    """What a pretrained backbone was trained with: pixel scaling and input size."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    size: int
    resize: int
    resample: Literal["bilinear", "bicubic"]


class Backbone(nn.Module):
    """A transformers vision model reduced to one feature vector a picture."""

    def __init__(self, body: nn.Module, pool: str, features: int) -> None:
        super().__init__()
        self.body, self.pool, self.features = body, pool, features

    def forward(self, pixels: Tensor) -> Tensor:
        output = self.body(pixels)
        hidden: Tensor = output.last_hidden_state
        if self.pool == "class":
            return hidden[:, 0]
        if self.pool == "tokens":
            return hidden.mean(1)
        return hidden.mean((2, 3))


def spec_of(config: BackboneConfig, size: int) -> Spec:
    """The spec of a backbone that is built from numbers, for inputs of `size` pixels."""
    if config.kind == "vit":
        return {
            "kind": "vit",
            "pool": "class",
            "transformers": {
                "model_type": "vit",
                "image_size": size,
                "patch_size": config.patch,
                "hidden_size": config.width,
                "num_hidden_layers": config.depth,
                "num_attention_heads": config.heads,
                "intermediate_size": 4 * config.width,
                "hidden_dropout_prob": config.dropout,
                "attention_probs_dropout_prob": config.dropout,
            },
        }
    return {
        "kind": "resnet",
        "pool": "map",
        "stem": {"kernel": 3, "stride": config.stem_stride},
        "transformers": {
            "model_type": "resnet",
            "embedding_size": config.stem_width,
            "hidden_sizes": list(config.widths),
            "depths": list(config.depths),
            "layer_type": "basic",
            "hidden_act": "relu",
        },
    }


def build(spec: Mapping[str, Any]) -> Backbone:
    """The module of a spec, with random weights (torch's seed decides them)."""
    from transformers import AutoConfig, AutoModel

    facts = dict(spec["transformers"])
    config = AutoConfig.for_model(facts.pop("model_type"), **facts)
    body = AutoModel.from_config(config, **_options(facts_type(spec)))
    if "stem" in spec:
        _replace_stem(body, config.embedding_size, **spec["stem"])
    return Backbone(body, spec["pool"], _features(config))


def facts_type(spec: Mapping[str, Any]) -> str:
    """The transformers model type of a spec."""
    return str(spec["transformers"]["model_type"])


def pretrained(name: str) -> tuple[Backbone, Spec]:
    """Opens a hub name or a local folder. ModelError when it is absent, unreachable, no vision model, or pickled."""
    from transformers import AutoConfig, AutoModel

    # Code that comes with a model is never run, weights are never unpickled.
    careful = {"trust_remote_code": False, "local_files_only": Path(name).is_dir() or not _hub_answers()}
    try:
        with _quiet():
            config = AutoConfig.from_pretrained(name, **careful)
            body, report = AutoModel.from_pretrained(
                name,
                config=config,
                use_safetensors=True,
                output_loading_info=True,
                **careful,
                **_options(config.model_type),
            )
    except (OSError, ValueError, KeyError) as error:
        raise _unusable(name, error) from None
    if body.main_input_name != "pixel_values":
        raise ModelError(
            f"{name} is no vision model but a {config.model_type}: give a ViT, DINOv2, ResNet, …"
        )
    if report["missing_keys"] or report["mismatched_keys"]:
        names = ", ".join(sorted(map(str, report["missing_keys"] or report["mismatched_keys"]))[:3])
        raise ModelError(f"the weights of {name} lack {names}: the folder is incomplete, download it again")
    spec: Spec = {
        "kind": "pretrained",
        "name": name,
        "pool": _pool(config.model_type),
        "transformers": {"model_type": config.model_type, **_plain(config.to_diff_dict())},
    }
    return Backbone(body, spec["pool"], _features(config)), spec


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """transformers draws a bar and a table for weights that it loads in a blink or leaves out on our wish."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def freeze_statistics(backbone: Backbone) -> None:
    """Keeps batch norms in evaluation mode: their running statistics are worth more than those of a small batch."""
    for module in backbone.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


_MAP_MODELS = {"resnet", "convnext", "convnextv2", "mobilenet_v1", "mobilenet_v2", "regnet", "efficientnet"}
_CLASS_TOKEN_MODELS = {
    *("vit", "deit", "beit", "data2vec-vision", "dinov2", "dinov2_with_registers", "dinov3_vit", "vit_msn"),
}


def _pool(model_type: str) -> str:
    """How one vector is made of the last hidden state: its map's mean, its class token, or its tokens' mean."""
    if model_type in _MAP_MODELS:
        return "map"
    return "class" if model_type in _CLASS_TOKEN_MODELS else "tokens"


def _options(model_type: str) -> dict[str, Any]:
    # The pooler of these models is a trained layer that we do not use: it would be a dead tensor in the optimizer.
    return {"add_pooling_layer": False} if model_type in {"vit", "deit"} else {}


def _features(config: Any) -> int:
    if config.model_type == "mobilenet_v2":
        multiplier = config.depth_multiplier
        return 1280 if config.finegrained_output and multiplier < 1 else max(1280, int(1280 * multiplier))
    for name in ("hidden_sizes", "hidden_size"):
        value = getattr(config, name, None)
        if value:
            return int(value[-1] if isinstance(value, (list, tuple)) else value)
    raise ModelError(
        f"the size of the features of a {config.model_type} is not known: use a ViT, ResNet or MobileNetV2"
    )


class _Stem(Protocol):
    convolution: nn.Module


class _Embedder(Protocol):
    embedder: _Stem
    pooler: nn.Module


class _ResNet(Protocol):
    """The attributes of transformers' ResNetModel that we replace."""

    embedder: _Embedder


def _replace_stem(body: nn.Module, width: int, kernel: int, stride: int) -> None:
    """Our 3×3 stem without max-pooling: transformers' 7×7 stem of stride 4 leaves 8×8 of a 32-pixel picture.

    Stride 4 is two 3×3 convolutions of stride 2.
    """
    embedder = cast(_ResNet, body).embedder
    if stride == 4:
        convolution: nn.Module = nn.Sequential(
            nn.Conv2d(3, width, kernel, 2, kernel // 2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, kernel, 2, kernel // 2, bias=False),
        )
    else:
        convolution = nn.Conv2d(3, width, kernel, stride, kernel // 2, bias=False)
    for module in convolution.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    embedder.embedder.convolution = convolution
    embedder.pooler = nn.Identity()


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    skip = {
        "transformers_version",
        "architectures",
        "dtype",
        "torch_dtype",
        "_name_or_path",
        "id2label",
        "label2id",
    }
    return {key: value for key, value in facts.items() if key not in skip and key != "model_type"}


def preprocessing(name: str) -> Preprocessing:
    """Reads preprocessor_config.json of a hub name or local folder; ModelError when there is none to read."""
    try:
        if Path(name).is_dir():
            path = Path(name) / "preprocessor_config.json"
        else:
            from huggingface_hub import hf_hub_download

            path = Path(
                hf_hub_download(name, "preprocessor_config.json", local_files_only=not _hub_answers())
            )
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        if not Path(name).is_dir():
            raise _unusable(name, error) from None
        raise ModelError(
            f"{name} has no readable preprocessor_config.json, so its pixel scaling is not known: "
            "download the whole model"
        ) from None
    try:
        size = _edge(facts.get("crop_size") or facts.get("size") or 224)
        resize = _edge(facts.get("size") or size)
        mean, std = (_three(facts.get(key, [0.5] * 3)) for key in ("image_mean", "image_std"))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"preprocessor_config.json of {name} is not understood ({error}): download the model again"
        ) from None
    return Preprocessing(
        mean, std, size, max(size, resize), "bicubic" if facts.get("resample") == 3 else "bilinear"
    )


def _edge(size: Any) -> int:
    """The edge in pixels of a size as processors write it: 224, {"height": 224, ...} or {"shortest_edge": 224}."""
    return int((size.get("height") or size["shortest_edge"]) if isinstance(size, dict) else size)


def _three(values: Any) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue


def pretraining_of(name: str) -> str:
    """What a pretrained backbone was trained with, by its name; an unknown one is taken for trained with labels."""
    known = ("dinov2", "dinov3", "dino-", "dino_", "mae", "ijepa", "msn", "beit-base-patch16-224-pt22k")
    lower = Path(name).name.lower()
    return "self-supervised" if any(part in lower for part in known) else "labels"


@functools.cache
def _hub_answers() -> bool:
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


def _unusable(name: str, error: Exception) -> ModelError:
    """Why a pretrained backbone cannot be opened, and what to do."""
    reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if Path(name).is_dir():
        return ModelError(f"{name} does not hold a vision model that transformers can open ({reason})")
    if _hub_answers():
        return ModelError(f"backbone {name!r} cannot be opened from the hub ({reason}): check the name")
    return ModelError(
        f"backbone {name!r} is no folder here, not in the local cache and the hub cannot be reached: "
        f"on a machine with network run `hf download {name} --local-dir FOLDER`, copy FOLDER here "
        "and give it as --backbone"
    )


def channels_last(module: nn.Module) -> nn.Module:
    """Convolutions run faster on this layout, on CPU and GPU alike; other layers do not care."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

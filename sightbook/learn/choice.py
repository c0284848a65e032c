"""Which network learning starts from when nobody named one, and whether its codes are learned by steps.

Photos are best described by a network that was trained on many photos: one of the local cache, else the one that comes
with sightbook. Small pictures (up to 64 pixels) are not what such a network was made for: they are learned from
scratch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from sightbook.errors import ConfigError
from sightbook.learn.settings.layers import SECTIONS
from sightbook.learn.settings.presets import CLOSED_FORM, DEFAULT_METHOD, SMALL_UP_TO
from sightbook.model.builtin import BUILTIN

# What learning by steps, and a network of transformers, need.
NEEDED = ("torch", "transformers", "kornia", "onnx", "onnxscript")
_BUDGETS = {"epochs", "minutes"}
# Settings of the section `backbone` that a pretrained network has, too; all others shape one from scratch.
_OF_PRETRAINED = {"backbone.train", "backbone.pool", "backbone.pretraining"}
_OTHERWISE = "--backbone resnet or vit learns one from scratch, from your pictures alone"


@dataclass(frozen=True)
class Choice:
    """backbone: in the words of --backbone, None: from scratch, as the preset has it; asked: the user's settings as
    they follow from it; why: a sentence each on what was chosen."""

    backbone: str | None
    asked: dict[str, Any]
    why: list[str] = field(default_factory=list)


def choose(asked: Mapping[str, Any], preset: str | None, backbone: str | None, shorter: int) -> Choice:
    """The user's settings `asked` with a network to start from. preset, backbone: of the command; shorter: the median
    shorter side of the pictures, in pixels.

    Raises ConfigError for --epochs 0 without a network: which untrained one is meant is not known.
    """
    if backbone == "auto":
        backbone, why = _automatic()
        return _fit(Choice(backbone, dict(asked), [why]))
    preset = preset if preset is not None else asked.get("preset")
    if BUILTIN in (backbone, asked.get("backbone", {}).get("name")):
        return _fit(Choice(backbone, dict(asked)))
    shaped = "size" in asked or bool(
        {key for key in flat(asked) if key.startswith("backbone.")} - _OF_PRETRAINED
    )
    if backbone is not None or shaped or preset not in (None, "photo"):
        return Choice(backbone, dict(asked))
    if preset is None and shorter <= SMALL_UP_TO:
        why = (
            f"small pictures ({shorter} pixels): a network is learned from scratch; for photos made small try "
            "--backbone builtin, too"
        )
        return Choice(None, dict(asked), [why])
    name = _find_cached()
    what = "the network that comes with sightbook" if name is None else f"{name} of the local cache"
    return _fit(Choice(name or BUILTIN, dict(asked), [f"for photos {what} is taken; {_OTHERWISE}"]))


def flat(asked: Mapping[str, Any]) -> set[str]:
    """Names of settings as --set has them, sections opened."""
    opened = {f"{section}.{name}" for section in SECTIONS for name in asked.get(section, {})}
    return opened | (set(asked) - set(SECTIONS))


def by_steps(asked: Mapping[str, Any]) -> set[str]:
    """The settings that only learning by steps goes by."""
    return {key for key in flat(asked) if key.split(".")[0] not in CLOSED_FORM and key not in CLOSED_FORM}


def _fit(choice: Choice) -> Choice:
    """A network that was chosen stays as it is, unless asked otherwise; and is learned over in closed form, unless a
    method, a part to train or a setting asks for steps. A budget is the most that may be spent, so it asks for none."""
    asked, why = choice.asked, choice.why
    section = asked.get("backbone", {})
    part, method = section.get("train"), asked.get("method")
    if part is None:
        asked["backbone"] = {**section, "train": "head"}
    if method is not None or part not in (None, "head"):
        return choice
    steps = sorted(by_steps(asked) - _BUDGETS)
    if steps:
        asked["method"] = DEFAULT_METHOD
        why.append(f"{', '.join(steps)} asks for learning by steps: method {DEFAULT_METHOD}")
    elif asked.get("epochs") == 0:
        raise ConfigError("--epochs 0 writes an untrained network: say which, with --backbone resnet or vit")
    elif part is None:
        for budget in _BUDGETS & set(asked):
            if asked.pop(budget) is not None:
                why.append(
                    f"codes are learned in closed form, which needs no steps: --{budget} is not spent "
                    f"(--method {DEFAULT_METHOD} would learn by steps)"
                )
    return choice


def _automatic() -> tuple[str, str]:
    """The backbone that auto stands for, and a sentence on it."""
    from sightbook.model import hub, known

    found = hub.automatic() if able() else None
    if found is not None:
        return found, f"auto: {found}"
    return BUILTIN, (
        "auto: no pretrained backbone is in the local cache and the hub cannot be reached, so the network that comes "
        f"with sightbook is taken; for a stronger one: hf download {known.AUTOMATIC[0]}"
    )


def _find_cached() -> str | None:
    """A pretrained network of the local cache that is known to be good; nothing is downloaded without being asked."""
    if not able():
        return None
    from sightbook.model import hub

    return hub.find_cached()


def able() -> bool:
    """Whether learning by steps is installed."""
    # Looked for, not imported: that takes seconds, which a mistyped setting should not have to wait for.
    return all(map(find_spec, NEEDED))

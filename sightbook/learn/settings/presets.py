"""Settings that go together: sizes by the pictures, rates by the backbone, everything else by the method's paper.

Data flow: `layers` gives, lowest first, what stands below the user's own settings: size ← backbone ← method.
"""

from __future__ import annotations

from typing import Any

from sightbook.errors import ConfigError
from sightbook.learn.methods.method import Method
from sightbook.learn.methods.registry import BUILT_IN, find
from sightbook.learn.settings.layers import Settings, merge

PRESETS = ("small", "photo", "paper")
SMALL_UP_TO = 64  # pixels of the shorter side
_SIZE = 32  # of the encoder's input, where no layer says otherwise
DEFAULT_METHOD, DEFAULT_FROZEN_METHOD = "rcq", "neighbours"
# What method neighbours goes by; every other setting is one of learning by steps.
CLOSED_FORM = {
    *("method", "bits", "M", "K", "seed", "size", "resize", "preset", "strength", "backbone"),
    *("features.folder", "features.limit_gib"),
}


def for_closed_form(settings: Settings) -> dict[str, Any]:
    """Those of the settings that mean something in closed form."""
    kept = {key: value for key, value in settings.items() if key in CLOSED_FORM}
    given = settings.get("features", {})
    features = {key: value for key, value in given.items() if f"features.{key}" in CLOSED_FORM}
    return {**kept, "features": features} if features else kept


_PHOTO: Settings = {
    "size": 224,
    "resize": 256,
    "batch": 128,
    "backbone": {"stem_stride": 4, "stem_width": 32, "widths": (32, 64, 128, 256), "depths": (1, 1, 1, 1)},
    "views": {"blur": 0.5},
}
_VIT: Settings = {"backbone": {"kind": "vit"}, "optimizer": {"rate": 1e-3, "weight_decay": 0.05}}
_PRETRAINED: Settings = {"batch": 64, "optimizer": {"rate": 1e-3, "backbone_rate": 1e-4}}
DEFAULT_PAPER_METHOD = "transclippedclr"
# Small parts of a photo beside its two views, as DCCQ's released code has them for all but CIFAR-10.
_LOCAL: Settings = {"views": {"local": 4}}

# Training pictures from which on a frozen backbone gets codebooks of 256 codewords: measured (docs/log.md), some more
# than two for each.
WIDE_FROM = 600


def layers(
    preset: str | None,
    shorter_side: int,
    backbone: str | None,
    method: str = DEFAULT_METHOD,
    *,
    frozen: bool = False,
    wide: bool = False,
    gpu: bool = False,
) -> list[Settings]:
    """The layers that stand below the user's own settings.

    `preset` None: small or photo by `shorter_side`, the pictures' median in pixels. `backbone`: resnet, vit, or the
    name or folder of a pretrained one; None leaves it to the preset. `frozen`: its weights stay; `wide`: then codebooks
    of 256 codewords, for the methods that gain by them. `gpu`: whether a network learns from scratch on one.
    ConfigError for an unknown preset or method, and for the preset `paper` with a method that has none.
    """
    if preset is not None and preset not in PRESETS:
        raise ConfigError(f"preset {preset!r} is unknown: choose one of {', '.join(PRESETS)}")
    chosen = find(method)
    if preset == "paper" and not chosen.paper.settings:
        papers = ", ".join(name for name in BUILT_IN if find(name).paper.settings)
        raise ConfigError(f"preset paper has nothing to say of method {method}: choose one of {papers}")
    size = preset if preset in ("small", "photo") else ("small" if shorter_side <= SMALL_UP_TO else "photo")
    found: list[Settings] = [{"preset": preset or size}]
    if size == "photo":
        found.append(_PHOTO)
    elif shorter_side > 40:
        found.append({"size": 64, "resize": 64, "backbone": {"stem_stride": 2, "patch": 8}})
    if size == "small" and backbone in (None, "resnet"):
        if not gpu:  # smaller views are faster where the processor is the limit
            found.append({"views": {"first_size": 16 if shorter_side <= 40 else 32}})
        found += [] if preset == "paper" else [{"optimizer": {"kind": "muon"}}]
    if size == "photo" and (backbone == "vit" or preset == "paper"):
        found.append({"backbone": {"patch": 16, "width": 192, "depth": 6, "heads": 6}})
    if backbone == "vit":
        found.append(_VIT)
    elif backbone == "resnet":
        found.append({"backbone": {"kind": "resnet"}})
    elif backbone is not None:
        found.append(
            merge(_PRETRAINED, {"backbone": {"kind": "pretrained", "name": backbone, "dropout": 0.0}})
        )
    found.append({"method": method, **chosen.settings})
    if gpu and size == "small" and backbone in (None, "resnet"):
        found.append(chosen.gpu)
    if preset == "paper":
        found += _of_paper(chosen, found, backbone)
    if frozen:
        found.append(chosen.frozen)
        if wide:
            found.append(chosen.frozen_wide)
    return found


def _of_paper(method: Method, below: list[Settings], backbone: str | None) -> list[Settings]:
    """What the method's paper says, over the layers `below`. A network that was named stays what it is, with the
    paper's dropout where it has such; views are as large as the network's input."""
    said = dict(method.paper.settings)
    network: Settings = said.pop("backbone", {})
    size = int(merge(*below).get("size", _SIZE))
    if size > SMALL_UP_TO:
        network = {**network, "stem_stride": 4} if "stem_stride" in network else network
    found: list[Settings] = []
    if backbone is None:
        found += [_VIT] if network.get("kind") == "vit" else []
        found.append({"backbone": network})
    elif "dropout" in network and backbone == "vit":
        found.append({"backbone": {"dropout": network["dropout"]}})
    found.append(said)
    if "apart" in said.get("views", {}) and backbone in (None, "vit", "resnet"):
        found.append({"views": {"size": size}})
    if method.local and size > SMALL_UP_TO:
        found.append(_LOCAL)
    return found

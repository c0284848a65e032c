"""The methods as their papers and released code have them, for `--preset paper`; `--method` alone keeps equal terms.

What is told stands in `settings`, over the method's own (`presets.METHODS`). What is not told is named in `untold`, and
keeps our value; what cannot be had here stands in `instead`. Sources: docs/methods.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sightbook.settings import Settings

# ResNet-18 as SPQ and SSCQ have it on CIFAR-10: a stem of 3 × 3 pixels that keeps the size, no pooling behind it.
_RESNET18: Settings = {
    "kind": "resnet",
    "stem_width": 64,
    "stem_stride": 1,
    "widths": (64, 128, 256, 512),
    "depths": (2, 2, 2, 2),
    "whiten": False,
}
_ADAM: Settings = {"kind": "adam", "weight_decay": 1e-5, "clip_norm": None}
_SGD: Settings = {"kind": "sgd", "rate": 0.01, "weight_decay": 0.0, "clip_norm": None}
_VGG16 = (
    "its VGG16, trained with ImageNet labels and kept as it is but for the head, is none of transformers' networks: "
    "ResNet-18 from scratch stands in for it; --backbone builtin --train head is nearer to it"
)
_WHOLE = {"first_size": None, "apart": True}  # and as large as the encoder's input (`layers`)


@dataclass(frozen=True)
class Paper:
    """settings: what is different from equal terms; epochs: how long it trains; untold: settings, by name, of which
    nothing was published; instead: what stands in for something that is not here."""

    settings: Settings
    epochs: int | None = None
    untold: tuple[str, ...] = ()
    instead: tuple[str, ...] = field(default=())


PAPERS: Mapping[str, Paper] = {
    "transclippedclr": Paper(
        {"K": 256, "backbone": {"kind": "vit", "dropout": 0.1}, "views": {"first_size": None}},
        untold=("M", "K", "D", "tau", "clip", "batch", "optimizer", "views", "standardize"),
        instead=(
            "its Vision Transformer is pretrained on ImageNet and fine-tuned: give one by --backbone; without, a small "
            "one learns from scratch",
        ),
    ),
    "spq": Paper(
        {
            "backbone": _RESNET18,
            "head_layers": 2,
            "optimizer": {**_ADAM, "rate": 3e-4, "warmup": 0.0},
            "views": {**_WHOLE, "crop_min": 0.08, "blur": 0.5},
        },
        epochs=2000,
        instead=("its weights start after Xavier, ours as torch has it",),
    ),
    "mecoq": Paper(
        {
            "standardize": False,
            "batch": 128,
            "backbone": _RESNET18,
            "optimizer": {**_SGD, "warmup": 0.02},
            "views": {**_WHOLE, "crop_min": 0.5, "jitter_share": 0.7, "blur": 0.5},
        },
        epochs=50,
        untold=("optimizer.weight_decay",),
        instead=(
            _VGG16,
            "τ (.2 to .45), λ (terms.entropy, .01 to 2) and ρ (.1, .15) go by data set and bits: .3, .01 and .1 here",
        ),
    ),
    "sscq": Paper(
        {
            "backbone": _RESNET18,
            "optimizer": {**_ADAM, "rate": 5e-4, "warmup": 0.0125},
            "views": {**_WHOLE, "blur": 1.0},
        },
        epochs=800,
        untold=("views.crop_min",),
        instead=("on photos its network is a ResNet-50: ResNet-18 here",),
    ),
    "dccq": Paper(
        {
            "standardize": False,
            "backbone": _RESNET18,
            "optimizer": {**_SGD, "warmup": 0.0},
            "views": {**_WHOLE, "crop_min": 0.14, "blur": 0.5},
        },
        untold=("epochs", "optimizer.weight_decay", "views.blur"),
        instead=(_VGG16, "λ (terms.entropy) is .05 on CIFAR-10, 2 on Flickr25K, .01 on NUS-WIDE: .05 here"),
    ),
}

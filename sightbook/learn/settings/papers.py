"""What several papers have in common: networks, optimizers, and sentences on what stands in for something else."""

from __future__ import annotations

from sightbook.learn.settings.layers import Settings

# ResNet-18 as SPQ and SSCQ have it on CIFAR-10: a stem of 3 × 3 pixels that keeps the size, no pooling behind it.
RESNET18: Settings = {
    "kind": "resnet",
    "stem_width": 64,
    "stem_stride": 1,
    "widths": (64, 128, 256, 512),
    "depths": (2, 2, 2, 2),
    "whiten": False,
}
ADAM: Settings = {"kind": "adam", "weight_decay": 1e-5, "clip_norm": None}
SGD: Settings = {"kind": "sgd", "rate": 0.01, "weight_decay": 0.0, "clip_norm": None}
VGG16 = (
    "its VGG16, trained with ImageNet labels and kept as it is but for the head, is none of transformers' networks: "
    "ResNet-18 from scratch stands in for it; --backbone builtin --train head is nearer to it"
)
# And as large as the encoder's input (`presets.layers`).
WHOLE: Settings = {"first_size": None, "apart": True}

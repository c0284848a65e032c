"""SPQ, self-supervised product quantization (arXiv 2109.02244): embeddings of one view against codes of the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightbook.learn.methods.method import Method, Paper
from sightbook.learn.settings.papers import ADAM, RESNET18, WHOLE

if TYPE_CHECKING:
    from torch import Tensor

    from sightbook.learn.methods.batch import Given, ViewBatch


def loss(batch: ViewBatch, given: Given[object]) -> dict[str, Tensor]:
    """The cross-quantized contrast of x and z with temperature τ; the paper clips nothing, `clip` can."""
    from sightbook.learn.losses import cross_contrast

    clip = given.clipped(batch.pictures)
    return {"cross_contrast": cross_contrast(batch.x, batch.z, given.tau, clip=clip)}


spq = Method(
    loss,
    {
        "quantizer": "distance",
        "standardize": False,
        "alpha": 5.0,
        "tau": 0.5,
        "clip": 0,
        "batch": 256,
        "optimizer": {"rate": 3e-4, "weight_decay": 1e-5},
        "views": {"blur": 0.5},
    },
    paper=Paper(
        {
            "backbone": RESNET18,
            "head_layers": 2,
            "optimizer": {**ADAM, "rate": 3e-4, "warmup": 0.0},
            "views": {**WHOLE, "crop_min": 0.08, "blur": 0.5},
        },
        epochs=2000,
        instead=("its weights start after Xavier, ours as torch has it",),
    ),
)

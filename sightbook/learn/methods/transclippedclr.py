"""TransClippedCLR (arXiv 2401.15362): contrast between soft-quantized views, the most similar negatives left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightbook.learn.methods.method import Method, Paper

if TYPE_CHECKING:
    from torch import Tensor

    from sightbook.learn.methods.batch import Given, ViewBatch


def loss(batch: ViewBatch, given: Given[object]) -> dict[str, Tensor]:
    """The clipped contrast of z with temperature τ; clip as a count or a fraction of the negatives."""
    from sightbook.learn.losses import contrast

    return {"contrast_z": contrast(batch.z, given.tau, clip=given.clipped(batch.pictures))}


transclippedclr = Method(
    loss,
    paper=Paper(
        {"K": 256, "backbone": {"kind": "vit", "dropout": 0.1}, "views": {"first_size": None}},
        untold=("M", "K", "D", "tau", "clip", "batch", "optimizer", "views", "standardize"),
        instead=(
            "its Vision Transformer is pretrained on ImageNet and fine-tuned: give one by --backbone; without, a small "
            "one learns from scratch",
        ),
    ),
)

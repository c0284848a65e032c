"""TransClippedCLR (arXiv 2401.15362): contrast between soft-quantized views, the most similar negatives left out."""

from __future__ import annotations

from torch import Tensor

from sightbook.config import TrainConfig
from sightbook.learn.losses import contrast
from sightbook.learn.methods.batch import ViewBatch


def terms(batch: ViewBatch, config: TrainConfig) -> dict[str, Tensor]:
    """The clipped contrast of z with temperature τ; clip as a count or a fraction of the negatives."""
    return {"contrast_z": contrast(batch.z, config.tau, clip=config.clipped(batch.pictures))}

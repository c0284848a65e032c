"""TransClippedCLR (arXiv 2401.15362): contrast between soft-quantized views, the most similar negatives left out."""

from __future__ import annotations

from torch import Tensor

from sightbook.config import TrainConfig
from sightbook.learn.losses import clipped_contrastive
from sightbook.learn.methods.batch import ViewBatch


def loss(batch: ViewBatch, config: TrainConfig) -> Tensor:
    """The clipped contrastive loss on z with temperature τ; clip as a count or a fraction of the negatives."""
    return clipped_contrastive(batch.z, config.tau, config.clipped(batch.pictures))

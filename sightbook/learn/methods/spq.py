"""SPQ, self-supervised product quantization (arXiv 2109.02244): embeddings of one view against codes of the other."""

from __future__ import annotations

from torch import Tensor

from sightbook.config import TrainConfig
from sightbook.learn.losses import cross_contrast
from sightbook.learn.methods.batch import ViewBatch


def terms(batch: ViewBatch, config: TrainConfig) -> dict[str, Tensor]:
    """The cross-quantized contrast of x and z with temperature τ; the paper clips nothing, `clip` can."""
    clip = config.clipped(batch.pictures)
    return {"cross_contrast": cross_contrast(batch.x, batch.z, config.tau, clip=clip)}

"""SSCQ (arXiv 2206.09806): neighbours attract each other part by part, views agree as wholes."""

from __future__ import annotations

from torch import Tensor

from sightbook.config import TrainConfig
from sightbook.learn.losses import codeword_usage, contrast, part_neighbours, view_consistency
from sightbook.learn.methods.batch import ViewBatch


def loss(batch: ViewBatch, config: TrainConfig) -> Tensor:
    """Contrast of x and of z + part neighbours of z + even use of the codewords + consistency of x + z."""
    clip, term = config.clipped(batch.pictures), config.term
    count = int(term("neighbour_count"))
    total = term("contrast_x") * contrast(batch.x, config.tau, clip=clip)
    total = total + term("contrast_z") * contrast(batch.z, config.tau, clip=clip)
    total = total + term("neighbours") * part_neighbours(batch.z, len(batch.C), term("neighbour_tau"), count)
    total = total + term("usage") * codeword_usage(batch.x, batch.C)
    return total + term("consistency") * view_consistency(batch.x + batch.z, term("consistency_tau"))

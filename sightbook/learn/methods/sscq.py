"""SSCQ (arXiv 2206.09806): neighbours attract each other part by part, views agree as wholes."""

from __future__ import annotations

from torch import Tensor

from sightbook.config import TrainConfig
from sightbook.learn.losses import codeword_usage, contrast, part_neighbours, view_consistency
from sightbook.learn.methods.batch import ViewBatch


def terms(batch: ViewBatch, config: TrainConfig) -> dict[str, Tensor]:
    """Contrast of x and of z + part neighbours of z + even use of the codewords + consistency of x + z."""
    clip, term = config.clipped(batch.pictures), config.term
    count, tau = int(term("neighbour_count")), term("neighbour_tau")
    consistent = view_consistency(batch.x + batch.z, term("consistency_tau"))
    return {
        "contrast_x": term("contrast_x") * contrast(batch.x, config.tau, clip=clip),
        "contrast_z": term("contrast_z") * contrast(batch.z, config.tau, clip=clip),
        "neighbours": term("neighbours") * part_neighbours(batch.z, len(batch.C), tau, count),
        "usage": term("usage") * codeword_usage(batch.x, batch.C),
        "consistency": term("consistency") * consistent,
    }

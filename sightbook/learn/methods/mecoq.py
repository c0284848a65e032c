"""MeCoQ (arXiv 2109.05205): debiased contrast of quantized views with a memory of codes, and two terms on the codes."""

from __future__ import annotations

from torch import Tensor

from sightbook.config import TrainConfig
from sightbook.learn.losses import codeword_similarity, contrast, soft_code_entropy
from sightbook.learn.methods.batch import ViewBatch


def terms(batch: ViewBatch, config: TrainConfig) -> dict[str, Tensor]:
    """Debiased contrast of z + λ · entropy of the soft codes + γ · similarity of the codewords."""
    clip = config.clipped(batch.pictures)
    contrasted = contrast(batch.z, config.tau, clip=clip, rho=config.term("rho"), extra=batch.remembered)
    return {
        "contrast_z": contrasted,
        "entropy": config.term("entropy") * soft_code_entropy(batch.p),
        "codeword_similarity": config.term("codeword_similarity") * codeword_similarity(batch.C),
    }

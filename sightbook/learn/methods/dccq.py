"""DCCQ: SPQ's two cross-quantized sets with MeCoQ's debiasing, code memory and terms on the codes."""

from __future__ import annotations

from torch import Tensor

from sightbook.config import TrainConfig
from sightbook.learn.losses import codeword_similarity, cross_contrast, soft_code_entropy
from sightbook.learn.methods.batch import ViewBatch


def terms(batch: ViewBatch, config: TrainConfig) -> dict[str, Tensor]:
    """Debiased cross contrast of x and z + λ · entropy of the soft codes + γ · similarity of the codewords."""
    clip = config.clipped(batch.pictures)
    contrasted = cross_contrast(
        batch.x, batch.z, config.tau, clip=clip, rho=config.term("rho"), extra=batch.remembered
    )
    return {
        "cross_contrast": contrasted,
        "entropy": config.term("entropy") * soft_code_entropy(batch.p),
        "codeword_similarity": config.term("codeword_similarity") * codeword_similarity(batch.C),
    }

"""DCCQ: SPQ's two cross-quantized sets with MeCoQ's quantizer, debiasing, code memory and terms on the codes.

Embeddings of views of small parts (`views.local`), where there are such, are contrasted with the codes of both views.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

from sightbook.config import TrainConfig
from sightbook.learn.losses import codeword_similarity, contrast, cross_contrast, soft_code_entropy
from sightbook.learn.methods.batch import ViewBatch


def terms(batch: ViewBatch, config: TrainConfig) -> dict[str, Tensor]:
    """Debiased cross contrast of x and z + λ · entropy of the soft codes + γ · similarity of the codewords.

    With L local views: + the mean of the 2L contrasts of {x of a local view, z of a whole one}. The sets are those of
    the released code; that they count as much as the two of whole views together, half of it, is ours.
    """
    how: dict[str, Any] = {
        "clip": config.clipped(batch.pictures),
        "rho": config.term("rho"),
        "extra": batch.remembered,
    }
    found = {"cross_contrast": cross_contrast(batch.x, batch.z, config.tau, **how)}
    if batch.local is not None:
        pairs = itertools.product(batch.local.chunk(len(batch.local) // batch.pictures), batch.z.chunk(2))
        each = [contrast(torch.cat(pair), config.tau, **how) for pair in pairs]
        found["local_contrast"] = torch.stack(each).mean()
    return {
        **found,
        "entropy": config.term("entropy") * soft_code_entropy(batch.p),
        "codeword_similarity": config.term("codeword_similarity") * codeword_similarity(batch.C),
    }

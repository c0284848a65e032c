"""MeCoQ (arXiv 2109.05205): debiased contrast of quantized views with a memory of codes, and two terms on the codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from sightbook.learn.methods.method import Method, Paper
from sightbook.learn.methods.terms import Count, Weight
from sightbook.learn.settings.papers import RESNET18, SGD, VGG16, WHOLE

if TYPE_CHECKING:
    from torch import Tensor

    from sightbook.learn.methods.batch import Given, ViewBatch


@dataclass(frozen=True)
class Terms:
    """rho: chance that a negative shows the same thing, the debiasing of the contrast; entropy, codeword_similarity:
    weights λ and γ; memory: soft codes of earlier batches used as further negatives, from the share `memory_after` of
    the budget on."""

    rho: Annotated[float, Field(ge=0, lt=1)] = 0.1
    memory: Count = 384
    memory_after: Annotated[float, Field(ge=0, le=1)] = 0.1
    entropy: Weight = 0.01
    codeword_similarity: Weight = 0.5


def loss(batch: ViewBatch, given: Given[Terms]) -> dict[str, Tensor]:
    """Debiased contrast of z + λ · entropy of the soft codes + γ · similarity of the codewords."""
    from sightbook.learn.losses import codeword_similarity, contrast, soft_code_entropy

    terms, clip = given.terms, given.clipped(batch.pictures)
    return {
        "contrast_z": contrast(batch.z, given.tau, clip=clip, rho=terms.rho, extra=batch.remembered),
        "entropy": terms.entropy * soft_code_entropy(batch.p),
        "codeword_similarity": terms.codeword_similarity * codeword_similarity(batch.C),
    }


mecoq = Method(
    loss,
    {"K": 256, "tau": 0.3, "clip": 0},
    terms=Terms,
    paper=Paper(
        {
            "standardize": False,
            "batch": 128,
            "backbone": RESNET18,
            "optimizer": {**SGD, "warmup": 0.02},
            "views": {**WHOLE, "crop_min": 0.5, "jitter_share": 0.7, "blur": 0.5},
        },
        epochs=50,
        untold=("optimizer.weight_decay",),
        instead=(
            VGG16,
            "τ (.2 to .45), λ (terms.entropy, .01 to 2) and ρ (.1, .15) go by data set and bits: .3, .01 and .1 here",
        ),
    ),
)

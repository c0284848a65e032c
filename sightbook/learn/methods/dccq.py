"""DCCQ: SPQ's two cross-quantized sets with MeCoQ's quantizer, debiasing, code memory and terms on the codes.

Embeddings of views of small parts (`views.local`), where there are such, are contrasted with the codes of both views.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sightbook.learn.methods import mecoq
from sightbook.learn.methods.method import Method, Paper
from sightbook.learn.methods.terms import Count, Weight
from sightbook.learn.settings.papers import RESNET18, SGD, VGG16, WHOLE

if TYPE_CHECKING:
    from torch import Tensor

    from sightbook.learn.methods.batch import Given, ViewBatch


@dataclass(frozen=True)
class Terms(mecoq.Terms):
    """MeCoQ's, with a larger memory and weight of the entropy."""

    memory: Count = 512
    entropy: Weight = 0.05


def loss(batch: ViewBatch, given: Given[Terms]) -> dict[str, Tensor]:
    """Debiased cross contrast of x and z + λ · entropy of the soft codes + γ · similarity of the codewords.

    With L local views: + the mean of the 2L contrasts of {x of a local view, z of a whole one}. The sets are those of
    the released code; that they count as much as the two of whole views together, half of it, is ours.
    """
    import torch

    from sightbook.learn.losses import codeword_similarity, contrast, cross_contrast, soft_code_entropy

    terms = given.terms
    how: dict[str, Any] = {
        "clip": given.clipped(batch.pictures),
        "rho": terms.rho,
        "extra": batch.remembered,
    }
    found = {"cross_contrast": cross_contrast(batch.x, batch.z, given.tau, **how)}
    if batch.local is not None:
        pairs = itertools.product(batch.local.chunk(len(batch.local) // batch.pictures), batch.z.chunk(2))
        each = [contrast(torch.cat(pair), given.tau, **how) for pair in pairs]
        found["local_contrast"] = torch.stack(each).mean()
    return {
        **found,
        "entropy": terms.entropy * soft_code_entropy(batch.p),
        "codeword_similarity": terms.codeword_similarity * codeword_similarity(batch.C),
    }


dccq = Method(
    loss,
    {"K": 256, "tau": 0.4, "clip": 0, "views": {"blur": 0.5}},
    terms=Terms,
    local=True,
    paper=Paper(
        {
            "standardize": False,
            "backbone": RESNET18,
            "optimizer": {**SGD, "warmup": 0.0},
            "views": {**WHOLE, "crop_min": 0.14, "blur": 0.5},
        },
        untold=("epochs", "optimizer.weight_decay", "views.blur"),
        instead=(VGG16, "λ (terms.entropy) is .05 on CIFAR-10, 2 on Flickr25K, .01 on NUS-WIDE: .05 here"),
    ),
)

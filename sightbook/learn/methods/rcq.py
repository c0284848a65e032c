"""RCQ, relational contrast of quantized views, our own: views agree about all other pictures, not about one alone.

From scratch: the clipped contrast of z as in TransClippedCLR, and each view's x sees the other pictures as its partner
does. With a frozen backbone the features know better than any contrast of views: x and z see the other pictures as the
features do, from codes that start as their product quantization (`quantizer: kmeans`).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from sightbook.config import TrainConfig
from sightbook.learn.losses import contrast, relation
from sightbook.learn.methods.batch import ViewBatch


def terms(batch: ViewBatch, config: TrainConfig) -> dict[str, Tensor]:
    """Contrast of z + relation of x + relation of z, each by its weight under `terms`; one of weight 0 is left out."""
    term = config.term
    found: dict[str, Tensor] = {}
    frozen = config.backbone.train == "head"
    teacher = _centred(batch.features) if frozen else batch.x
    if term("contrast_z"):
        clip = config.clipped(batch.pictures)
        found["contrast_z"] = term("contrast_z") * contrast(batch.z, config.tau, clip=clip)
    for name, rows in (("relation_x", batch.x), ("relation_z", batch.z)):
        if term(name):
            temperatures = (term("relation_tau"), term("teacher_tau"))
            found[name] = term(name) * relation(rows, teacher, *temperatures, partner=not frozen)
    return found


def _centred(features: Tensor) -> Tensor:
    """Features of length 1 without what all of the batch have in common: after a ReLU that is most of their cosine."""
    unit = F.normalize(features, dim=1)
    return unit - unit.mean(0)

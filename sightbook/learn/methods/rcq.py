"""RCQ, relational contrast of quantized views, our own: views agree about all other pictures, not about one alone.

From scratch: the clipped contrast of z as in TransClippedCLR, and each view's x sees the other pictures as its partner
does. With a frozen backbone the features know better than any contrast of views: x and z see the other pictures as the
features do, from codes that start as their product quantization (`quantizer: kmeans`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sightbook.learn.methods.method import Method
from sightbook.learn.methods.terms import Temperature, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from sightbook.learn.methods.batch import Given, ViewBatch


@dataclass(frozen=True)
class Terms:
    """Weights of the contrast of z and of what x and z say of all other pictures; temperatures of what is said, and of
    what is to be said."""

    contrast_z: Weight = 1.0
    relation_x: Weight = 1.0
    relation_z: Weight = 0.0
    relation_tau: Temperature = 0.1
    teacher_tau: Temperature = 0.04


def loss(batch: ViewBatch, given: Given[Terms]) -> dict[str, Tensor]:
    """Contrast of z + relation of x + relation of z, each by its weight under `terms`; one of weight 0 is left out."""
    from sightbook.learn.losses import contrast, relation

    terms = given.terms
    found: dict[str, Tensor] = {}
    teacher = _centre(batch.features) if given.frozen else batch.x
    if terms.contrast_z:
        clip = given.clipped(batch.pictures)
        found["contrast_z"] = terms.contrast_z * contrast(batch.z, given.tau, clip=clip)
    for name, weight, rows in (
        ("relation_x", terms.relation_x, batch.x),
        ("relation_z", terms.relation_z, batch.z),
    ):
        if weight:
            agreement = relation(
                rows, teacher, terms.relation_tau, terms.teacher_tau, partner=not given.frozen
            )
            found[name] = weight * agreement
    return found


def _centre(features: Tensor) -> Tensor:
    """Features of length 1 without what all of the batch have in common: after a ReLU that is most of their cosine."""
    from torch.nn.functional import normalize

    unit = normalize(features, dim=1)
    return unit - unit.mean(0)


rcq = Method(
    loss,
    {"batch": 64},
    terms=Terms,
    gpu={"batch": 512},
    frozen={
        "quantizer": "kmeans",
        "standardize": False,
        "terms": {"contrast_z": 0.0, "relation_z": 0.2, "teacher_tau": 0.05},
    },
    # Codebooks of 256 codewords start from overlapping halves of the features and need less learning.
    frozen_wide={"K": 256, "terms": {"relation_z": 1.0}, "optimizer": {"rate": 3e-5}},
)

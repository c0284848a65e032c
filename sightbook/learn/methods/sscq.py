"""SSCQ (arXiv 2206.09806): neighbours attract each other part by part, views agree as wholes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from sightbook.learn.methods.method import Method, Paper
from sightbook.learn.methods.terms import Temperature, Weight
from sightbook.learn.settings.papers import ADAM, RESNET18, WHOLE

if TYPE_CHECKING:
    from torch import Tensor

    from sightbook.learn.methods.batch import Given, ViewBatch


@dataclass(frozen=True)
class Terms:
    """Weights of the five parts of the loss; how many neighbours attract; temperatures of their attraction and of the
    agreement of views."""

    contrast_x: Weight = 1.0
    contrast_z: Weight = 1.0
    neighbours: Weight = 0.1
    neighbour_count: Annotated[int, Field(ge=1)] = 20
    neighbour_tau: Temperature = 0.5
    usage: Weight = 0.2
    consistency: Weight = 0.4
    consistency_tau: Temperature = 0.2


def loss(batch: ViewBatch, given: Given[Terms]) -> dict[str, Tensor]:
    """Contrast of x and of z + part neighbours of z + even use of the codewords + consistency of x + z."""
    from sightbook.learn.losses import codeword_usage, contrast, part_neighbours, view_consistency

    terms, clip = given.terms, given.clipped(batch.pictures)
    tau, count = terms.neighbour_tau, terms.neighbour_count
    consistent = view_consistency(batch.x + batch.z, terms.consistency_tau)
    return {
        "contrast_x": terms.contrast_x * contrast(batch.x, given.tau, clip=clip),
        "contrast_z": terms.contrast_z * contrast(batch.z, given.tau, clip=clip),
        "neighbours": terms.neighbours * part_neighbours(batch.z, len(batch.C), tau, count),
        "usage": terms.usage * codeword_usage(batch.x, batch.C),
        "consistency": terms.consistency * consistent,
    }


sscq = Method(
    loss,
    {
        "quantizer": "distance",
        "standardize": False,
        "head_layers": 2,
        "alpha": 5.0,
        "tau": 0.5,
        "clip": 0,
        "batch": 256,
        "optimizer": {"rate": 5e-4, "weight_decay": 1e-5, "warmup": 0.0125},
    },
    terms=Terms,
    paper=Paper(
        {
            "backbone": RESNET18,
            "optimizer": {**ADAM, "rate": 5e-4, "warmup": 0.0125},
            "views": {**WHOLE, "blur": 1.0},
        },
        epochs=800,
        untold=("views.crop_min",),
        instead=("on photos its network is a ResNet-50: ResNet-18 here",),
    ),
)

"""What a method sees of one step: the batch, and the settings of the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from torch import Tensor

Terms_co = TypeVar("Terms_co", covariant=True)


class Given(Protocol[Terms_co]):
    """The settings of a run, as a loss reads them; `terms` are the method's own."""

    @property
    def method(self) -> str: ...
    @property
    def terms(self) -> Terms_co: ...
    @property
    def tau(self) -> float: ...
    @property
    def frozen(self) -> bool:
        """Whether the backbone keeps its weights."""

    def term(self, name: str) -> Any:
        """One of the terms, by its name."""

    def clipped(self, batch: int) -> int:
        """Negatives left out per anchor in a batch of so many pictures."""


@dataclass(frozen=True)
class ViewBatch:
    """Two views of B pictures after the network; rows 0 … B-1 first views, rows B … 2B-1 second views.

    features (2B, F) what the head was given, x (2B, D) embeddings, z (2B, D) soft-quantized, p (2B, M, K) soft
    assignments, C (M, K, d) the codebooks; remembered (E, D): soft-quantized rows of earlier batches, None while there
    is no memory; local (L·B, D): embeddings of views of small parts, row b + l·B is the l-th of picture b, None where
    `views.local` is 0.
    """

    features: Tensor
    x: Tensor
    z: Tensor
    p: Tensor
    C: Tensor
    remembered: Tensor | None = None
    local: Tensor | None = None

    def prefix(self, M: int) -> ViewBatch:
        """What the first M codebooks see: a batch of shorter embeddings and codes."""
        if len(self.C) == M:
            return self
        D = M * self.C.shape[2]
        remembered = None if self.remembered is None else self.remembered[:, :D]
        local = None if self.local is None else self.local[:, :D]
        return ViewBatch(
            self.features, self.x[:, :D], self.z[:, :D], self.p[:, :M], self.C[:M], remembered, local
        )

    @property
    def pictures(self) -> int:
        """B."""
        return len(self.x) // 2

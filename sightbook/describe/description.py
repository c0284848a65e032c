"""A description: one linear map from a network's features to the numbers that codes are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightbook.codes.tables import Floats
from sightbook.describe.vectors import unit
from sightbook.errors import ConfigError
from sightbook.threads import one_thread

# Rows of one matrix product. Always as many, filled up with zeros: a product of another size may add in another order,
# and then a picture's numbers would depend on the pictures beside it.
_BLOCK = 64


@dataclass(frozen=True)
class Description:
    """x = unit( P (unit(s · f) − μ) ) − c of a feature vector f (F,).

    scale s (F,), centre μ (F,), weights P (F, d), middle c (d,), all float32. μ and c are means over the collection, so
    that x of a picture like no other is about zero.
    """

    scale: Floats
    centre: Floats
    weights: Floats
    middle: Floats

    @property
    def F(self) -> int:
        """Numbers of a feature vector."""
        return len(self.weights)

    @property
    def d(self) -> int:
        """Numbers of a description."""
        return int(self.weights.shape[1])

    def apply(self, features: NDArray[np.generic]) -> Floats:
        """Features (N, F) → x (N, d) float32. A row's numbers do not depend on the rows beside it.

        ConfigError for vectors of another length.
        """
        if features.ndim != 2 or features.shape[1] != self.F:
            raise ConfigError(f"vectors must have {self.F} numbers each, (N, {self.F}), not {features.shape}")
        x = np.empty((len(features), self.d), np.float32)
        rows = np.zeros((_BLOCK, self.F), np.float32)
        with one_thread():
            for start in range(0, len(features), _BLOCK):
                some = features[start : start + _BLOCK]
                rows[: len(some)] = unit(np.asarray(some, np.float32) * self.scale) - self.centre
                rows[len(some) :] = 0
                x[start : start + len(some)] = unit(rows @ self.weights)[: len(some)] - self.middle
        return x

    def tensors(self) -> dict[str, Floats]:
        """The arrays by name."""
        return {name: np.ascontiguousarray(getattr(self, name)) for name in self.__annotations__}

    @classmethod
    def of(cls, tensors: Mapping[str, Floats]) -> Description:
        """The inverse of `tensors`. ValueError when shapes do not fit, KeyError when one is missing."""
        made = cls(*(np.ascontiguousarray(tensors[name], np.float32) for name in cls.__annotations__))
        shapes = (made.scale.shape, made.centre.shape, made.middle.shape)
        if made.weights.ndim != 2 or shapes != ((made.F,), (made.F,), (made.d,)):
            raise ValueError(f"arrays of shapes {shapes} do not fit weights of {made.weights.shape}")
        return made

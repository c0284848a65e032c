"""Which method is better: a paired bootstrap over the queries for each seed, and a win only when all seeds agree.

The queries of two runs of one experiment are the same pictures in the same order (that of their content), so their
average precisions can be subtracted one by one. The bootstrap tells how far the difference depends on which queries
were asked (Efron, 1979); different seeds tell how far it depends on the training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

ROUNDS = 2000
_SEED = 5


@dataclass(frozen=True)
class Difference:
    """mAP of one run minus that of another at the same seed, with the middle 95 % of the bootstrap."""

    seed: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """All seeds of two cells. `verdict`: wins or loses when every seed's interval lies on that side of 0, else open."""

    differences: tuple[Difference, ...]

    @property
    def verdict(self) -> Literal["wins", "loses", "open"]:
        if self.differences and all(each.low > 0 for each in self.differences):
            return "wins"
        if self.differences and all(each.high < 0 for each in self.differences):
            return "loses"
        return "open"


def bootstrap(a: NDArray[np.floating], b: NDArray[np.floating], seed: int = 0) -> Difference:
    """Average precisions (Q,) of two runs on the same queries → Difference a - b.

    ValueError when they are not of the same queries.
    """
    if a.shape != b.shape:
        raise ValueError(f"{len(a)} and {len(b)} queries cannot be paired")
    difference = a.astype(np.float64) - b.astype(np.float64)
    random = np.random.default_rng(_SEED)
    count = len(difference)
    means = np.empty(ROUNDS)
    for turn in range(ROUNDS):
        means[turn] = difference[random.integers(count, size=count)].mean()
    low, high = np.quantile(means, (0.025, 0.975))
    return Difference(seed, float(difference.mean()), float(low), float(high))


def compare(
    ours: Mapping[int, NDArray[np.floating]], theirs: Mapping[int, NDArray[np.floating]]
) -> Comparison:
    """Average precisions by seed of two cells → their comparison over the seeds that both have, on the same queries."""
    return Comparison(
        tuple(
            bootstrap(ours[seed], theirs[seed], seed)
            for seed in sorted(ours.keys() & theirs.keys())
            if ours[seed].shape == theirs[seed].shape
        )
    )

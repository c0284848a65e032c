"""Which method is better: a paired bootstrap over the queries for each seed, and a win only when all seeds agree.

The queries of two runs of one experiment are the same pictures in the same order (that of their content), so their
average precisions can be subtracted one by one. The bootstrap tells how far the difference depends on which queries
were asked (Efron, 1979); different seeds tell how far it depends on the training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sightbook.benchmark.results import Results

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


def comparisons(found: Results) -> dict[tuple[str, int], Comparison]:
    """How the reference stands against every other cell, at each length that both have, on the same queries."""
    reference = found.plan.compared
    result = {}
    for bits in sorted({run["bits"] for run in found.runs.values()}):
        ours = {run["seed"]: run for run in found.found(reference, bits) if run["digest"] in found.ap}
        for cell in found.cells():
            theirs = {
                run["seed"]: run
                for run in found.found(cell, bits)
                if run["digest"] in found.ap and run["seed"] in ours and paired(ours[run["seed"]], run)
            }
            if cell != reference and theirs:
                result[cell, bits] = compare(
                    {seed: found.ap[ours[seed]["digest"]] for seed in theirs},
                    {seed: found.ap[run["digest"]] for seed, run in theirs.items()},
                )
    return result


def paired(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the queries and the database of two runs are known to be the same pictures with the same labels, so that
    query stands against query. Runs of before digests were kept pair with one another, as they did."""
    same = ("data", "failed", "queries", "database")
    return all(one.get(key) == other.get(key) for key in same)


def unpaired(found: Results) -> list[str]:
    """Runs that are not compared with the reference: their queries are not known to be the same, or not one by one."""
    reference = found.plan.compared

    def known(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        return paired(one, other) and {one["digest"], other["digest"]} <= found.ap.keys()

    return [
        f"{cell}/{run['bits']}/{run['seed']}"
        for cell in found.cells()
        for run in found.found(cell)
        for ours in found.found(reference, run["bits"])
        if cell != reference and ours["seed"] == run["seed"] and not known(ours, run)
    ]

"""Differences between runs, and how well a criterion tracks."""

from __future__ import annotations

import numpy as np
import pytest

from sightbook.benchmark.compare import bootstrap, compare
from sightbook.benchmark.page import time_to
from sightbook.benchmark.tracking import spearman

RANDOM = np.random.default_rng(3)
BASE = RANDOM.random(400)


def test_the_interval_holds_the_mean_and_is_that_of_the_pairs() -> None:
    better = BASE + 0.02 + 0.01 * RANDOM.standard_normal(400)
    found = bootstrap(better, BASE)
    assert found.mean == pytest.approx((better - BASE).mean())
    # The standard error of the paired differences is .01 / 20; unpaired it would be 40 times that.
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.01 / 20, rel=0.15)
    assert found.low < found.mean < found.high
    swapped = bootstrap(BASE, better)
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low), abs=1e-4)


def test_a_win_is_called_only_when_all_seeds_agree() -> None:
    better, worse = BASE + 0.05, BASE - 0.05
    noisy = BASE + 0.3 * RANDOM.standard_normal(400)
    assert compare({0: better, 1: better}, {0: BASE, 1: BASE}).verdict == "wins"
    assert compare({0: worse}, {0: BASE}).verdict == "loses"
    assert compare({0: better, 1: worse}, {0: BASE, 1: BASE}).verdict == "open"
    assert compare({0: better, 1: noisy}, {0: BASE, 1: BASE}).verdict == "open"
    assert compare({0: better}, {1: BASE}).verdict == "open", "no seed in common"
    assert compare({0: better}, {0: BASE[:10]}).differences == (), "other queries"
    with pytest.raises(ValueError, match="400 and 10 queries"):
        bootstrap(BASE, BASE[:10])


def test_rank_correlation_by_hand() -> None:
    assert spearman([1, 2, 3, 4], [0.1, 0.2, 0.9, 1.0]) == pytest.approx(1)
    assert spearman([4, 3, 2, 1], [0.1, 0.2, 0.9, 1.0]) == pytest.approx(-1)
    # ranks 0 1.5 1.5 3 and 0 1 2 3: Σ = 4.5 over √(4.5 · 5)
    assert spearman([1, 2, 2, 5], [0.1, 0.2, 0.3, 0.4]) == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    assert spearman([1, 1, 1], [1, 2, 3]) is None
    assert spearman([None, 1, 2], [1, 2, 3]) is None


def test_the_time_to_a_level_lies_between_two_snapshots() -> None:
    points = [{"seconds": 60, "map": 0.2}, {"seconds": 120, "map": 0.3}, {"seconds": 180, "map": 0.5}]
    assert time_to(points, 0.4) == pytest.approx(150)
    assert time_to(points, 0.3) == pytest.approx(120)
    assert time_to(points, 0.1) == 60
    assert time_to(points, 0.6) is None

"""Rows grouped by equal codes: the order of the rows, and when grouping is tried at all."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sightbook.codes.engine import groups
from sightbook.codes.engine.groups import Groups


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 8, 9, 16])
def test_rows_are_sorted_by_code_and_then_by_row(width: int) -> None:
    packed = np.random.default_rng(width).integers(0, 3, (5000, width)).astype(np.uint8)
    packed[:, : width // 2] = 255
    order, first = groups.runs(packed)
    assert order.dtype == np.int32 and sorted(order.tolist()) == list(range(5000))
    codes, counts = np.unique(packed, axis=0, return_counts=True)
    starts = np.append(first, 5000)
    assert len(first) == len(codes) and sorted(np.diff(starts)) == sorted(counts)
    for start, end in itertools.pairwise(starts.tolist()):
        assert (packed[order[start:end]] == packed[order[start]]).all()
        assert (np.diff(order[start:end]) > 0).all()


def test_crowds_beside_many_codes_of_their_own_are_not_worth_sorting(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    packed = random.integers(0, 256, (100_000, 8)).astype(np.uint8)
    packed[::20] = packed[:10].repeat(500, axis=0)
    assert groups.crowding(packed) > groups.CROWD
    assert groups.distinct(packed) > 0.8
    sorts, runs = [], groups.runs
    monkeypatch.setattr(groups, "runs", lambda packed: (sorts.append(len(packed)), runs(packed))[1])
    assert Groups.of(packed, 16, 16) is None
    assert max(sorts) < 20_000, "a sample alone"


@pytest.mark.parametrize("share", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("width", [2, 4, 8, 16])
def test_the_share_of_distinct_codes_is_estimated(share: float, width: int) -> None:
    random = np.random.default_rng(1)
    few = np.unique(random.integers(0, 256, (int(200_000 * share), width)).astype(np.uint8), axis=0)
    packed = few[random.permutation(np.arange(200_000) % len(few))]
    assert groups.distinct(packed) == pytest.approx(len(few) / 200_000, rel=0.15)

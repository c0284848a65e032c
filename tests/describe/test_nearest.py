"""Neighbours are those of brute force, and copies are one picture."""

from __future__ import annotations

import numpy as np
import pytest

from sightbook.describe import nearest
from sightbook.describe.vectors import unit


def rows(count: int, F: int = 24, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(count, F)))


def brute_force(x: np.ndarray, asked: list[int], k: int) -> list[list[int]]:
    found = []
    for i in asked:
        others = [(-float(x[i] @ x[j]), j) for j in range(len(x)) if j != i]
        found.append([j for _, j in sorted(others)[:k]])
    return found


@pytest.mark.parametrize("asked", [None, [7, 3, 50]])
def test_neighbours_are_those_of_brute_force(
    asked: list[int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest, "SCORES", 700)  # several blocks
    x = rows(90)
    places, cosines = nearest.neighbours(x, 5, None if asked is None else np.array(asked))
    expected = brute_force(x, list(range(90)) if asked is None else asked, 5)
    assert places.tolist() == expected
    who = np.arange(90) if asked is None else np.array(asked)
    np.testing.assert_allclose(cosines, np.einsum("nf,nkf->nk", x[who], x[places]), atol=1e-6)


def test_all_others_can_be_asked_for() -> None:
    x = rows(6)
    assert nearest.neighbours(x, 5)[0].tolist() == brute_force(x, list(range(6)), 5)


def test_beyond_the_exact_size_nearly_all_are_found_and_none_is_oneself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nearest, "EXACT", 100)
    monkeypatch.setattr(nearest, "COMPONENTS", 12)
    random = np.random.default_rng(3)
    centres = random.normal(size=(20, 24))
    x = unit(centres[random.integers(20, size=600)] + 0.5 * random.normal(size=(600, 24)))
    places, _ = nearest.neighbours(x, 4)
    assert (places != np.arange(600)[:, None]).all()
    expected = brute_force(x, list(range(600)), 4)
    share = np.mean([len(set(a) & set(b)) / 4 for a, b in zip(places.tolist(), expected, strict=True)])
    assert share > 0.8


def test_equal_rows_are_found_and_the_first_of_each_is_kept() -> None:
    x = np.array([[1.0, 2], [3, 4], [1, 2], [5, 6], [3, 4], [1, 2]], np.float16)
    assert nearest.distinct(x).tolist() == [0, 1, 3]


def test_a_burst_is_one_picture_however_long_it_is() -> None:
    x = rows(30, 64)
    burst = unit(x[4] + 0.004 * np.random.default_rng(1).normal(size=(200, 64)))
    kept = nearest.without_copies(np.concatenate([x, burst]))
    assert kept.tolist() == list(range(30))


def test_different_pictures_are_no_copies() -> None:
    x = rows(40, 64)
    assert nearest.without_copies(x).tolist() == list(range(40))
    assert nearest.without_copies(x[:1]).tolist() == [0]


@pytest.mark.parametrize("columns", [1, 2, 7, 64, 65, 1000, 1023, 4099])
@pytest.mark.parametrize("k", [1, 4, 16])
def test_the_largest_are_those_of_sorting(columns: int, k: int) -> None:
    random = np.random.default_rng(columns)
    scores = random.permutation(5 * columns).reshape(5, columns).astype(np.float32)
    scores[0, : columns // 2] = -np.inf
    k = min(k, columns)
    places, found = nearest.largest(scores, k)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found, np.take_along_axis(scores, expected, 1))
    finite = np.isfinite(found)
    np.testing.assert_array_equal(places[finite], expected[finite])


@pytest.mark.parametrize("exact", [20_000, 10])
def test_what_is_kept_has_no_earlier_copy(exact: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two things that are not alike, and a third between them: it goes, whichever of the two it is a copy of."""
    monkeypatch.setattr(nearest, "EXACT", exact)
    monkeypatch.setattr(nearest, "SCORES", 100)
    apart = unit(np.array([[1, 0.09, 0], [1, -0.09, 0]], np.float32))
    x = np.concatenate([rows(20, 3), apart, unit(apart.mean(axis=0, keepdims=True)), rows(3, 3, 1)])
    kept = nearest.without_copies(x).tolist()
    cosines = x @ x.T
    assert kept == [i for i in range(len(x)) if not (cosines[i, :i] >= nearest.SAME).any()]
    assert 22 not in kept

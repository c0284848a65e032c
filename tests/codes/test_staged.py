"""The two-stage search: exact among the candidates of an exact scan of the first codebooks."""

from __future__ import annotations

import numpy as np
import pytest

from sightbook.codes import oracle
from sightbook.codes.engine import Engine, Staged
from sightbook.codes.pack import pack
from sightbook.errors import ConfigError


def made(N: int, M: int, K: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    codes = random.integers(0, K, (N, M)).astype(np.uint8)
    return codes, random.normal(size=(5, M, K)).astype(np.float32)


@pytest.mark.parametrize(("M", "K", "first"), [(8, 16, 4), (16, 16, 4), (4, 256, 2)])
@pytest.mark.parametrize("candidates", [30, 200])
def test_answers_are_those_of_two_oracles_in_a_row(M: int, K: int, first: int, candidates: int) -> None:
    codes, tables = made(6000, M, K)
    ids = np.arange(6000, dtype=np.int64) * 3 + 1
    found, scores = Staged(pack(codes, K), M, K, first, ids).search(tables, 10, candidates=candidates)
    for query in range(5):
        scanned, _ = oracle.search(tables[query : query + 1, :first], codes[:, :first], candidates)
        rows = np.sort(scanned[0])
        best, exact = oracle.search(tables[query : query + 1], codes[rows], 10, ids[rows])
        np.testing.assert_array_equal(found[query], best[0])
        np.testing.assert_array_equal(scores[query], exact[0])


def test_with_all_pictures_as_candidates_it_is_the_exact_search() -> None:
    codes, tables = made(3000, 8, 16)
    staged, engine = Staged(pack(codes, 16), 8, 16, 2), Engine(pack(codes, 16), 8, 16)
    for k in (1, 25, 5000):
        found, scores = staged.search(tables, k, candidates=3000)
        exact, expected = engine.search(tables, k)
        np.testing.assert_array_equal(found, exact)
        np.testing.assert_array_equal(scores, expected)
    assert len(staged) == 3000


def test_candidates_are_never_fewer_than_the_answers() -> None:
    codes, tables = made(500, 8, 16)
    assert Staged(pack(codes, 16), 8, 16, 4).search(tables, 50, candidates=3)[0].shape == (5, 50)
    assert Staged(pack(codes[:7], 16), 8, 16, 4).search(tables, 50)[0].shape == (5, 7)


def test_the_default_finds_nearly_all_of_the_exact_answers_where_the_prefix_tells_most() -> None:
    codes, tables = made(20_000, 16, 16)
    tables[:, 8:] *= 0.2
    exact, _ = Engine(pack(codes, 16), 16, 16).search(tables, 10)
    found, _ = Staged(pack(codes, 16), 16, 16, 8).search(tables, 10)
    shared = [len(set(a.tolist()) & set(b.tolist())) for a, b in zip(exact, found, strict=True)]
    assert sum(shared) >= 48


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_the_scan_does_not_look_at_is_checked_too(wrong: float) -> None:
    codes, tables = made(500, 8, 16)
    staged = Staged(pack(codes, 16), 8, 16, 4)
    tables[3, 6, 2] = wrong  # of a codebook behind the first four
    with pytest.raises(ConfigError, match="query 3 has values that are not finite"):
        staged.search(tables, 10)
    with pytest.raises(ConfigError, match=r"must be \(Q, 8, 16\) float32"):
        staged.search(tables[:, :4], 10)
    for k, threads in ((0, 1), (1, 0)):
        with pytest.raises(ConfigError, match="both must be at least 1"):
            staged.search(tables[:1], k, threads)

"""Search among some of the rows: what brute force over those alone gives, whatever the filter and the tables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightbook.codes import oracle
from sightbook.codes.engine import Engine
from sightbook.codes.engine.exact import Exact
from sightbook.codes.engine.groups import Groups
from sightbook.codes.engine.sieve import Sieve
from sightbook.codes.pack import pack
from sightbook.errors import ConfigError


def agree(codes, tables, k, ids, among, *, engine=None, threads=1):
    """Equal to filter-then-brute-force, to the bit."""
    K = tables.shape[2]
    engine = engine or Engine(pack(codes, K), codes.shape[1], K, ids)
    found, scores = engine.search(tables, k, threads, among=among)
    here = np.isin(np.arange(len(codes)) if ids is None else ids, among)
    names = (np.arange(len(codes)) if ids is None else ids)[here]
    true_ids, true_scores = oracle.search(tables, codes[here], k, names)
    assert np.array_equal(found, true_ids)
    assert np.array_equal(scores.view(np.int32), true_scores.view(np.int32))


def drawn(N, M=8, K=16, Q=4, seed=0, *, distinct=None):
    random = np.random.default_rng(seed)
    codes = random.integers(0, K if distinct is None else distinct, (N, M)).astype(np.uint8)
    tables = random.standard_normal((Q, M, K)).astype(np.float32)
    ids = np.cumsum(random.integers(1, 4, N)).astype(np.int64)
    return codes, tables, ids, random


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("K", [16, 256])
def test_every_share_of_the_rows(share: float, K: int) -> None:
    codes, tables, ids, random = drawn(40_000, K=K)
    among = ids[random.random(len(ids)) < share]
    for k in (1, 10, 200):
        agree(codes, tables, k, ids, among)


def test_a_filter_that_is_against_the_query_is_searched_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the worst rows are kept: candidates hold none of them, so doubling must go on and then gather."""
    codes, tables, ids, _ = drawn(30_000, Q=2)
    scores = sum(tables[0, m, codes[:, m]] for m in range(8))
    worst = np.sort(ids[np.argsort(scores)[:6000]])
    asked = []
    original = Sieve.candidates
    monkeypatch.setattr(Sieve, "candidates", lambda self, t, c: (asked.append(c), original(self, t, c))[1])
    agree(codes, tables, 20, ids, worst)
    assert len(asked) > 1 and asked == sorted(asked)


def test_few_distinct_codes_with_ties_everywhere() -> None:
    codes, tables, ids, random = drawn(30_000, M=4, distinct=3)
    engine = Engine(pack(codes, 16), 4, 16, ids)
    assert isinstance(engine.rows, Groups)
    for share in (0.01, 0.5):
        among = ids[random.random(len(ids)) < share]
        agree(codes, np.round(tables), 50, ids, among, engine=engine)
    agree(codes, tables, 50, ids, ids[:1], engine=engine)
    agree(codes, tables, 50, ids, ids[:0], engine=engine)
    agree(codes, tables, 50, ids, ids, engine=engine)


def test_rows_without_ids_and_ids_that_are_not_here() -> None:
    codes, tables, ids, random = drawn(20_000)
    assert isinstance(Engine(pack(codes, 16), 8, 16).rows, Exact)
    among = np.unique(random.integers(-500, 25_000, 9000))
    agree(codes, tables, 10, None, among)
    agree(codes, tables, 10, ids, np.unique(random.integers(0, 80_000, 30_000)))


def test_none_one_and_fewer_than_wanted() -> None:
    codes, tables, ids, _ = drawn(10_000)
    engine = Engine(pack(codes, 16), 8, 16, ids)
    found, scores = engine.search(tables, 5, among=np.empty(0, np.int64))
    assert found.shape == scores.shape == (4, 0)
    found, _ = engine.search(tables, 5, among=ids[77:78])
    assert found.tolist() == [[ids[77]]] * 4
    agree(codes, tables, 50, ids, ids[10:20])


def test_rows_chosen_once_serve_many_searches_of_their_engine_alone() -> None:
    codes, tables, ids, _ = drawn(9000)
    engine = Engine(pack(codes, 16), 8, 16, ids)
    chosen = engine.choose(ids[::4])
    first = engine.search(tables, 7, among=ids[::4])
    again = engine.search(tables, 7, among=chosen)
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    with pytest.raises(ConfigError, match="chosen of another engine"):
        Engine(pack(codes, 16), 8, 16, ids).search(tables, 7, among=chosen)


def test_threads_make_no_difference() -> None:
    codes, tables, ids, random = drawn(30_000, Q=70)
    agree(codes, tables, 10, ids, ids[random.random(len(ids)) < 0.3], threads=3)


def test_tables_that_faiss_cannot_take_are_gathered() -> None:
    codes, tables, ids, _ = drawn(20_000)
    agree(codes, tables * np.float32(1e37), 10, ids, ids[::2])
    agree(codes, np.zeros_like(tables), 10, ids, ids[::3])


@pytest.mark.parametrize(
    "among", [np.array([3, 2]), np.array([2, 2]), np.array([1.0, 2.0]), np.zeros((2, 2), np.int64)]
)
def test_ids_that_do_not_ascend_are_refused(among: np.ndarray) -> None:
    codes, tables, ids, _ = drawn(100)
    with pytest.raises(ConfigError, match="must ascend strictly"):
        Engine(pack(codes, 16), 8, 16, ids).search(tables, 1, among=among)


@settings(max_examples=60)
@given(
    st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 40]), st.floats(0.005, 1.0), st.sampled_from([2, 16])
)
def test_any_filter_on_coarse_tables(seed: int, k: int, share: float, distinct: int) -> None:
    codes, tables, ids, random = drawn(6000, M=5, Q=2, seed=seed, distinct=distinct)
    agree(codes, np.round(tables * 2), k, ids, ids[random.random(len(ids)) < share])

"""Search by code and fine code: the slow oracle's answer to the bit, ties, cuts and choices included."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from sightbook.codes import oracle
from sightbook.codes.engine import Engine, Staged
from sightbook.codes.fine import CANDIDATES, Fine, candidates, gain, quantize, sums
from sightbook.codes.pack import pack
from sightbook.codes.tables import Floats
from sightbook.errors import ConfigError

M, K, d = 4, 16, 24
GAIN = gain(0.05, 0.5)


def made(
    N: int, Q: int = 9, seed: int = 0
) -> tuple[Floats, NDArray[np.uint8], NDArray[np.int8], NDArray[np.int8]]:
    """Tables (Q, M, K), codes (N, M), the queries' fine codes (Q, d) and the rows' (N, d); few values: scores tie."""
    random = np.random.default_rng(seed)
    tables = random.integers(-2, 3, (Q, M, K)).astype(np.float32)
    codes = random.integers(0, K, (N, M), np.uint8)
    asked, fine = (random.integers(-3, 4, (n, d)).astype(np.int8) for n in (Q, N))
    asked[:, 1:-1] = 0  # sums of two products: totals tie, too
    return tables, codes, asked, fine


def same(found: tuple[NDArray[np.int64], Floats], truth: tuple[NDArray[np.int64], Floats]) -> bool:
    return found[0].tolist() == truth[0].tolist() and found[1].tobytes() == truth[1].tobytes()


def test_quantize_rounds_to_127_steps_on_either_side_and_clips() -> None:
    y = np.array([[0.5, -0.5, 0.25, 0.0], [0.6, -9.0, 0.5 / 127, 0.51 * 0.5 / 127]], np.float32)
    assert quantize(y, 0.5).tolist() == [[127, -127, 64, 0], [127, -127, 1, 1]]
    assert gain(0.25, 0.5) == np.float32(0.25 * (0.5 / 127) ** 2)


def test_what_cannot_be_quantized_is_refused() -> None:
    with pytest.raises(ConfigError, match="description 1 holds values that are not finite"):
        quantize(np.array([[0.0], [np.nan]], np.float32), 1.0)
    for y, limit in ((np.zeros((1, 1041), np.float32), 1.0), (np.zeros((1, 2), np.float32), 0.0)):
        with pytest.raises(ConfigError, match="limit above 0"):
            quantize(y, limit)


def test_the_largest_sum_of_products_is_exact() -> None:
    most = np.full((1, 1040), 127, np.int8)
    odd = most.copy()
    odd[0, 0] = -126
    rows = np.array([[0, 1]])
    assert sums(most, np.concatenate([most, odd]), rows).tolist() == [
        [1040 * 127**2, 1039 * 127**2 - 126 * 127]
    ]


def test_the_memory_of_a_search_does_not_grow_with_the_answers_asked_for() -> None:
    random = np.random.default_rng(0)
    queries, fine = (random.integers(-127, 128, (n, 256)).astype(np.int8) for n in (2, 30_000))
    rows = np.stack([random.permutation(30_000), np.arange(30_000)])
    tracemalloc.start()
    found = sums(queries, fine, rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 << 20, "30,000 rows as float32 would be 30 MiB for each query"
    every = queries.astype(np.int64) @ fine.astype(np.int64).T
    assert (found == np.take_along_axis(every, rows, 1)).all()


@pytest.mark.parametrize("N", [1, 7, 399, 400, 401, 5000])
@pytest.mark.parametrize("k", [1, 10, 200, 201, 1000])
def test_the_fast_way_is_the_oracle_with_ties(N: int, k: int) -> None:
    tables, codes, asked, fine = made(N)
    ids = np.arange(N, dtype=np.int64) * 3 + 5
    truth = oracle.fine_search(tables, codes, asked, fine, gain=GAIN, k=k, ids=ids)
    totals = truth[1]
    assert k < 10 or N < 400 or (totals[:, 1:] == totals[:, :-1]).any(), "the case has ties"
    found = Fine(Engine(pack(codes, K), M, K, ids), fine, GAIN)
    for threads in (1, 3):
        assert same(found.search(tables, k, threads, queries=asked), truth)


def test_real_numbers_too_and_only_candidates_are_put_in_order() -> None:
    random = np.random.default_rng(3)
    N = 6000
    tables = random.normal(size=(5, M, K)).astype(np.float32)
    codes = random.integers(0, K, (N, M), np.uint8)
    asked, fine = (random.integers(-127, 128, (n, d)).astype(np.int8) for n in (5, N))
    strong = gain(1.0, 1.0)
    found, totals = Fine(Engine(pack(codes, K), M, K), fine, strong).search(tables, 10, queries=asked)
    assert same((found, totals), oracle.fine_search(tables, codes, asked, fine, gain=strong, k=10))
    best, _ = oracle.search(tables, codes, CANDIDATES)
    for q in range(5):
        assert set(found[q]) <= set(best[q]) and set(found[q]) != set(best[q, :10])


def test_candidates_are_400_or_twice_the_answers() -> None:
    assert [candidates(k) for k in (1, 10, 200, 201, 1000)] == [400, 400, 400, 402, 2000]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.9])
def test_among_some_rows_it_is_the_oracle_of_those(share: float) -> None:
    tables, codes, asked, fine = made(5000)
    ids = np.arange(5000, dtype=np.int64) * 2
    kept = np.flatnonzero(np.random.default_rng(1).random(5000) < share)
    truth = oracle.fine_search(tables, codes[kept], asked, fine[kept], gain=GAIN, k=20, ids=ids[kept])
    engine = Engine(pack(codes, K), M, K, ids)
    searcher = Fine(engine, fine, GAIN)
    wanted = np.sort(np.concatenate([ids[kept], [1, 99999]]))  # ids that are not here are passed over
    assert same(searcher.search(tables, 20, queries=asked, among=wanted), truth)
    assert same(searcher.search(tables, 20, queries=asked, among=engine.choose(wanted)), truth)
    assert searcher.search(tables, 20, queries=asked, among=np.empty(0, np.int64))[0].shape == (9, 0)


def test_behind_a_scan_of_the_first_bits_the_best_by_whole_code_are_put_in_order() -> None:
    tables, codes, asked, fine = made(4000)
    ids = np.arange(4000, dtype=np.int64) + 11
    staged = Staged(pack(codes, K), M, K, 2, ids)
    found = Fine(staged, fine, GAIN).search(tables, 10, queries=asked)
    for q in range(len(tables)):
        handed_on = np.sort(oracle.search(tables[q : q + 1, :2], codes[:, :2], 1000)[0][0])
        truth = oracle.fine_search(
            tables[q : q + 1],
            codes[handed_on],
            asked[q : q + 1],
            fine[handed_on],
            gain=GAIN,
            k=10,
            ids=ids[handed_on],
        )
        assert same((found[0][q : q + 1], found[1][q : q + 1]), truth)
    with pytest.raises(ConfigError, match="leave it out, or the first bits"):
        Fine(staged, fine, GAIN).search(tables, 10, queries=asked, among=ids)


def test_without_weight_the_order_is_that_of_the_codes() -> None:
    tables, codes, asked, fine = made(3000)
    found = Fine(Engine(pack(codes, K), M, K), fine, gain(0.0, 1.0)).search(tables, 50, queries=asked)
    assert same(found, oracle.search(tables, codes, 50))


def test_one_row_of_several_answers_as_alone() -> None:
    tables, codes, asked, fine = made(2000, Q=40)
    searcher = Fine(Engine(pack(codes, K), M, K), fine, GAIN)
    together = searcher.search(tables, 7, queries=asked, threads=2)
    for q in (0, 17, 39):
        alone = searcher.search(tables[q : q + 1], 7, queries=asked[q : q + 1])
        assert same(alone, (together[0][q : q + 1], together[1][q : q + 1]))


def test_what_does_not_fit_is_refused() -> None:
    tables, codes, asked, fine = made(50)
    engine = Engine(pack(codes, K), M, K)
    for wrong in (fine[:49], fine.astype(np.int16), fine[0]):
        with pytest.raises(ConfigError, match=r"must be \(50, d\) int8"):
            Fine(engine, wrong, GAIN)
    with pytest.raises(ConfigError, match="cannot weigh nan"):
        Fine(engine, fine, np.float32(np.nan))
    for wrong in (asked[:8], asked[:, :5], asked.astype(np.float32)):
        with pytest.raises(ConfigError, match=r"fine codes must be \(9, 24\) int8"):
            Fine(engine, fine, GAIN).search(tables, 1, queries=wrong)
    with pytest.raises(ConfigError, match="are not given"):
        Fine(engine, fine, GAIN).search(tables, 1)
    with pytest.raises(ConfigError, match="k = 0"):
        Fine(engine, fine, GAIN).search(tables, 0, queries=asked)
    empty = Fine(Engine(pack(codes[:0], K), M, K), fine[:0], GAIN)
    assert empty.search(tables, 3, queries=asked)[0].shape == (9, 0) and len(empty) == 0

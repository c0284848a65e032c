"""The scale of scores: 1 for the best code, 0 for the average one, in the order of raw, and always a number."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sightbook.codes import fine as fine_codes
from sightbook.codes import oracle, scale
from sightbook.codes.engine import Engine
from sightbook.codes.fine import Fine, quantize
from sightbook.codes.pack import pack
from sightbook.codes.scale import Scale
from sightbook.codes.tables import Codebooks, Floats, Metric

METRICS: tuple[Metric, ...] = ("inner", "distance", "near-cosine")
SHAPES = ((1, 16), (3, 16), (4, 16), (2, 256))


def made(
    seed: int, N: int, M: int, K: int, spread: float = 1.0
) -> tuple[Floats, NDArray[np.uint8], Floats, NDArray[np.uint8]]:
    """Tables (3, M, K) of numbers around `spread`, codes (N, M), raw scores (3, N), codes packed."""
    random = np.random.default_rng(seed)
    tables = (random.normal(size=(3, M, K)) * spread).astype(np.float32)
    codes = random.integers(0, K, (N, M), np.uint8)
    return tables, codes, np.stack([oracle.score(table, codes) for table in tables]), pack(codes, K)


def slow(raw: float, table: Floats, codes: NDArray[np.uint8]) -> float:
    """The formula as it stands, for one score."""
    best = np.float32(0)
    for row in table:
        best += row.max()
    scores = [sum(float(row[k]) for row, k in zip(table, code, strict=True)) for code in codes]
    mean = sum(scores) / len(scores)
    return (raw - mean) / (float(best) - mean)


@given(st.integers(0, 99), st.integers(2, 60), st.sampled_from(SHAPES), st.sampled_from((1e-20, 1.0, 1e20)))
def test_scores_are_the_formula(seed: int, N: int, shape: tuple[int, int], spread: float) -> None:
    tables, codes, raw, packed = made(seed, N, *shape, spread)
    found = Scale.of(packed, *shape).scores(raw, tables)
    wanted = [[slow(float(one), table, codes) for one in row] for table, row in zip(tables, raw, strict=True)]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@given(st.integers(0, 99), st.integers(1, 60), st.sampled_from(SHAPES))
def test_the_best_code_scores_exactly_one_the_average_zero_and_order_is_that_of_raw(
    seed: int, N: int, shape: tuple[int, int]
) -> None:
    tables, _, raw, packed = made(seed, N, *shape)
    measure = Scale.of(packed, *shape)
    found = measure.scores(raw, tables)
    assert np.isfinite(found).all() and (found <= 1).all()
    for q, table in enumerate(tables):
        all_best = raw[q].min() == oracle.score(table, table.argmax(axis=1).astype(np.uint8)[None])[0]
        np.testing.assert_allclose(found[q].mean(), float(all_best), atol=1e-5)
        order = np.argsort(raw[q], kind="stable")
        assert (np.diff(found[q][order]) >= 0).all()
        assert ((np.diff(found[q][order]) > 0) == (np.diff(raw[q][order]) > 0)).all()
        best = oracle.score(table, table.argmax(axis=1).astype(np.uint8)[None])
        assert measure.scores(best[None], tables[q : q + 1]).tolist() == [[1.0]]


@given(
    st.integers(0, 99), st.sampled_from(SHAPES), st.sampled_from((0.0, 1e-30, 1.0, 3e38)), st.integers(1, 3)
)
def test_equal_codes_score_one_where_they_are_the_best_and_else_zero(
    seed: int, shape: tuple[int, int], spread: float, N: int
) -> None:
    M, K = shape
    tables, codes, _, _ = made(seed, 1, M, K)
    tables = np.clip(tables, -1, 1) * np.float32(spread)
    every = np.repeat(codes, N, axis=0)
    tables[0, np.arange(M), codes[0]] = tables[0].max(axis=1)
    with np.errstate(over="ignore"):
        raw = np.stack([oracle.score(table, every) for table in tables])
        best = [oracle.score(table, table.argmax(axis=1).astype(np.uint8)[None])[0] for table in tables]
    found = Scale.of(pack(every, K), M, K).scores(raw, tables)
    assert found[0].tolist() == [1.0] * N
    json.dumps(found.tolist(), allow_nan=False)
    for q in (1, 2):  # sums beyond float32 are equal, too
        np.testing.assert_allclose(found[q], float(raw[q, 0] == best[q]), atol=1e-5)


def test_a_query_scores_as_it_does_alone_and_no_rows_are_no_scores() -> None:
    random = np.random.default_rng(5)
    tables, _, raw, packed = made(1, 500, 4, 16)
    fine, asked = (random.integers(-9, 10, (n, 24)).astype(np.int8) for n in (500, 3))
    measure, gain = Scale.of(packed, 4, 16, fine), np.float32(0.01)
    together = measure.scores(raw, tables, asked, gain)
    for q in range(3):
        one = slice(q, q + 1)
        assert measure.scores(raw[one], tables[one], asked[one], gain).tobytes() == together[one].tobytes()
    assert measure.scores(raw[:0], tables[:0], asked[:0], gain).shape == (0, 500)
    empty = Scale.of(packed[:0], 4, 16, fine[:0])
    assert empty.scores(raw[:, :0], tables, asked, gain).shape == (3, 0)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("N", [1, 5, 300])
def test_a_stored_embedding_as_the_query_scores_exactly_one(
    metric: Metric, shape: tuple[int, int], N: int
) -> None:
    (M, K), d = shape, 6
    random = np.random.default_rng(N)
    books = Codebooks(random.normal(size=(M, K, d)).astype(np.float32), metric)
    x = random.normal(size=(N, M * d)).astype(np.float32)
    packed, tables = pack(books.assign(x), K), books.tables(x)
    ids, raw = Engine(packed, M, K).search(tables, N)
    found = Scale.of(packed, M, K).scores(raw, tables)
    assert (found.max(axis=1) == 1.0).all() and (found <= 1).all()
    assert all(found[q][ids[q] == q] == 1.0 for q in range(N))
    np.testing.assert_allclose(found.mean(axis=1), float(N == 1), atol=1e-5)


@pytest.mark.parametrize("N", [1, 5, 300])
@pytest.mark.parametrize("metric", METRICS)
def test_with_fine_codes_too_and_a_longer_neighbour_scores_no_more(metric: Metric, N: int) -> None:
    (M, K), d = (4, 16), 6
    random = np.random.default_rng(N)
    books = Codebooks(random.normal(size=(M, K, d)).astype(np.float32), metric)
    x = random.normal(size=(N, M * d)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    limit = float(np.abs(x).max())
    fine, gain = quantize(x, limit), fine_codes.gain(0.5, limit)
    packed, tables = pack(books.assign(x), K), books.tables(x)
    ids, raw = Fine(Engine(packed, M, K), fine, gain).search(tables, N, queries=fine)
    measure = Scale.of(packed, M, K, fine)
    found = measure.scores(raw, tables, fine, gain)
    assert all(found[q][ids[q] == q] == 1.0 for q in range(N)) and (found <= 1).all()
    assert (np.diff(found, axis=1) <= 0).all()
    if N == 300:
        np.testing.assert_allclose(found.mean(axis=1), 0, atol=1e-4)
    # Twice as long a fine code and the same code: more than the query has with itself.
    longer = np.concatenate([fine, np.clip(2 * fine[:1].astype(int), -127, 127).astype(np.int8)])
    packed = np.concatenate([packed, packed[:1]])
    ids, raw = Fine(Engine(packed, M, K), longer, gain).search(tables[:1], 2, queries=fine[:1])
    found = Scale.of(packed, M, K, longer).scores(raw, tables[:1], fine[:1], gain)
    assert ids[0].tolist() == [N, 0] and raw[0, 0] > raw[0, 1] and found.tolist() == [[1.0, 1.0]]


def test_shares_and_middle_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(2)
    codes = random.integers(0, 16, (40_000, 3), np.uint8)
    codes[:, 1] = 7
    fine = random.integers(-127, 128, (40_000, 5)).astype(np.int8)
    found = Scale.of(pack(codes, 16), 3, 16, fine)
    assert found.middle is not None and found.middle.tolist() == fine.astype(int).mean(axis=0).tolist()
    for m in range(3):
        assert found.shares[m].tolist() == [(codes[:, m] == k).mean() for k in range(16)]
    wide = random.integers(0, 256, (999, 2), np.uint8)
    assert Scale.of(pack(wide, 256), 2, 256).shares[1, 3] == (wide[:, 1] == 3).mean()
    # More than are counted: a sample, the same each time, out of step with a collection in which things take turns.
    monkeypatch.setattr(scale, "MOST", 20_000)
    codes[:, 0], fine[:, 0] = np.arange(40_000) % 4, np.arange(40_000) % 4
    some, again = (Scale.of(pack(codes, 16), 3, 16, fine) for _ in range(2))
    assert some.shares.tobytes() == again.shares.tobytes() and some.middle is not None
    np.testing.assert_allclose(some.shares[0, :4], 0.25, atol=0.02)
    np.testing.assert_allclose(some.middle[0], 1.5, atol=0.1)
    np.testing.assert_allclose(some.shares.sum(axis=1), 1)

"""Groups that share a prefix: the same answers as the oracle, less read, and chosen only where that pays."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sightbook.codes import oracle
from sightbook.codes.engine import Engine, exact, prefixes
from sightbook.codes.engine.prefixes import Layout, Prefixed, Watch, may_pay
from sightbook.codes.engine.sieve import margins
from sightbook.codes.engine.stored import Stored
from sightbook.codes.pack import pack

Array = NDArray[np.float32]


def crowded(
    n: int, M: int, queries: int = 20, crowds: int = 40, seed: int = 0
) -> tuple[NDArray[np.uint8], Array]:
    """Codes around a few centres, as a collection's are, and tables of queries near them."""
    rng = np.random.default_rng(seed)
    books = rng.standard_normal((M, 16, 4)).astype(np.float32)
    centres = rng.standard_normal((crowds, M, 4)).astype(np.float32)

    def drawn(count: int) -> Array:
        x: Array = centres[rng.integers(0, crowds, count)]
        return x + np.float32(0.3) * rng.standard_normal(x.shape).astype(np.float32)

    def entries(x: Array) -> Array:
        table: Array = np.einsum("nmd,mkd->nmk", x, books)
        return table

    codes = np.concatenate([entries(drawn(5000)).argmax(axis=2) for _ in range(-(-n // 5000))])[:n]
    return codes.astype(np.uint8), entries(drawn(queries))


def scattered(n: int, M: int, queries: int = 20, seed: int = 0) -> tuple[NDArray[np.uint8], Array]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 16, (n, M), dtype=np.uint8), rng.standard_normal((queries, M, 16)).astype(
        np.float32
    )


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small collections may be grouped, after ten queries."""
    monkeypatch.setattr(prefixes, "LARGE", 5000)
    monkeypatch.setattr(prefixes, "ASKING", 10)
    monkeypatch.setattr(prefixes, "ROWS_A_GROUP", 200)
    monkeypatch.setattr(prefixes, "WAIT", 10)


@pytest.mark.parametrize("M", [5, 16, 32])
@pytest.mark.parametrize("draw", [crowded, scattered])
def test_its_answers_are_those_of_a_scan(M: int, draw: object, soon: None) -> None:
    codes, tables = draw(20_000, M)  # type: ignore[operator]
    stored = Stored(pack(codes, 16), M, 16)
    grouped = Prefixed(stored, Layout(stored.packed, M))
    for k in (1, 30, 500):
        found = grouped.search(tables, k, margins(tables))
        assert np.array_equal(found, stored.complete(tables, k))


def test_tables_that_faiss_cannot_take_and_ties_everywhere(soon: None) -> None:
    codes, tables = crowded(20_000, 16, queries=6)
    stored = Stored(pack(codes, 16), 16, 16)
    grouped = Prefixed(stored, Layout(stored.packed, 16))
    tables = np.round(tables)  # few different scores
    tables[1] = 0
    tables[2] *= np.float32(1e30)
    tables[3, 3] *= np.float32(1e6)  # one codebook drowns the others in the 8-bit table
    tables[4] = tables[4] * 0 + np.float32(1e-3)
    tables = np.add(tables, np.float32(0), order="C")
    kept = np.random.default_rng(0).random(20_000) < 0.2
    for k in (1, 40, 700):
        assert np.array_equal(grouped.search(tables, k, margins(tables)), stored.complete(tables, k))
        few = grouped.search(tables, k, margins(tables), kept)
        assert np.array_equal(few, stored.among(tables, k, np.flatnonzero(kept)))


@pytest.mark.parametrize("M", [6, 16])
def test_every_row_is_in_one_group_and_below_its_bound(M: int, soon: None) -> None:
    codes, tables = crowded(30_000, M)
    layout = Layout(pack(codes, 16), M)
    assert 16 < len(layout.sizes) <= 150
    assert layout.sizes.sum() == len(codes) and (layout.sizes > 0).all()
    assert (np.diff(layout.starts) == layout.sizes[:-1]).all()
    order = np.argsort(layout.keys(pack(codes, 16)), kind="stable")
    group = np.repeat(np.arange(len(layout.sizes)), layout.sizes)
    for table in tables:
        scores = oracle.score(table, codes[order])
        bounds = layout.bounds(table)
        assert (scores <= bounds[group]).all()
        kth = float(np.sort(scores)[-50])
        assert layout.cost(table, kth - 1e-3) >= 50


def test_answers_are_the_oracles_before_and_after(soon: None) -> None:
    codes, tables = crowded(20_000, 16, queries=30)
    codes[5000:5100] = codes[7]  # ties, whose order is that of the ids
    ids = np.arange(20_000, dtype=np.int64) * 3 + 5
    engine = Engine(pack(codes, 16), 16, 16, ids)
    states = []
    for k in (1, 10, 100, 10, 400):
        for q in range(len(tables)):
            found, scores = engine.search(tables[q : q + 1], k)
            truth, raw = oracle.search(tables[q : q + 1], codes, k, ids)
            assert np.array_equal(found, truth) and np.array_equal(scores, raw)
            assert found.dtype == np.int64
            states.append(engine.rows.is_grouped)
    assert states[8:10] == [False, True] and all(states[10:])
    rows = engine.rows
    assert isinstance(rows, exact.Exact) and isinstance(rows.sieve, Prefixed)
    groups = len(Layout(rows.stored.packed, 16).sizes)
    own = groups * (16 * 16 * 16 * 4 + 96 * 8)  # codebooks, and the last block of each group
    assert engine.nbytes <= 22 * len(codes) + own + 100  # 100: where blocks of ids begin


@pytest.mark.parametrize("seen", range(1, 7))
def test_an_index_that_another_thread_groups_meanwhile_answers_on(seen: int, soon: None) -> None:
    """The other thread's change is met at each place where the search looks at what it changes."""
    codes, tables = crowded(20_000, 16, queries=2)
    engine = Engine(pack(codes, 16), 16, 16)
    rows = engine.rows
    assert isinstance(rows, exact.Exact)
    grouped = Prefixed(rows.stored, Layout(rows.stored.packed, 16))
    states = {"sieve": [rows.sieve] * seen + [grouped], "watch": [rows.watch] * seen + [None]}

    class Exchanged(exact.Exact):
        def __getattribute__(self, name: str) -> Any:
            if name in states:
                return states[name].pop(0) if len(states[name]) > 1 else states[name][0]
            return super().__getattribute__(name)

    rows.__class__ = Exchanged
    found, _ = engine.search(tables, 10)
    assert np.array_equal(found, oracle.search(tables, codes, 10)[0])


def test_groups_that_cannot_matter_are_not_read(soon: None, monkeypatch: pytest.MonkeyPatch) -> None:
    codes, tables = crowded(30_000, 16)
    packed = pack(codes, 16)
    layout = Layout(packed, 16)
    grouped = Prefixed(Stored(packed, 16, 16), layout)
    asked: list[int] = []
    read = Prefixed.read

    def counted(self: Prefixed, groups: NDArray[np.int64], *rest: Any) -> Any:
        asked.extend(groups.tolist())
        return read(self, groups, *rest)

    monkeypatch.setattr(Prefixed, "read", counted)
    grouped.search(tables, 30, margins(tables))
    assert len(tables) <= len(asked) < 0.5 * len(tables) * len(layout.sizes)


def test_a_filtered_search_goes_on_being_exact(soon: None) -> None:
    codes, tables = crowded(20_000, 16, queries=12)
    ids = np.arange(20_000, dtype=np.int64) + 7
    engine = Engine(pack(codes, 16), 16, 16, ids)
    engine.search(tables, 10)
    assert engine.rows.is_grouped
    engine.search(tables, 10)
    for share in (0.01, 0.3, 0.9):
        kept = np.flatnonzero(np.random.default_rng(1).random(20_000) < share)
        asked = np.sort(np.append(ids[kept], [3, 2**40]))
        found, scores = engine.search(tables, 20, among=asked)
        truth, raw = oracle.search(tables, codes[kept], 20, ids[kept])
        assert np.array_equal(found, truth) and np.array_equal(scores, raw)


def test_scattered_codes_are_scanned_on(soon: None) -> None:
    codes, tables = scattered(20_000, 16, queries=40)
    engine = Engine(pack(codes, 16), 16, 16)
    for _ in range(3):
        engine.search(tables, 10)
    assert not engine.rows.is_grouped


def test_it_is_decided_once_whichever_thread_asks() -> None:
    watch, tables = Watch(), np.zeros((1, 4, 16), np.float32)
    told: list[bool] = []

    def ask() -> None:
        told.extend(watch.saw(tables, np.zeros(1, np.float32)) for _ in range(prefixes.WAIT // 4 + 10))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told.count(True) == 1


def test_small_or_short_codes_are_never_grouped() -> None:
    assert not may_pay(100_000, 16, 16) and may_pay(5_000_000, 16, 16)
    assert not may_pay(5_000_000, 4, 16) and not may_pay(5_000_000, 8, 256)

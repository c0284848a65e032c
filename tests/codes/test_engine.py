"""The engine against the oracle: ids and every bit of the scores, on healthy tables and on each trap of faiss."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightbook.codes import oracle
from sightbook.codes.engine import Engine, exact, groups, stored
from sightbook.codes.engine import engine as engine_room
from sightbook.codes.engine.exact import Exact
from sightbook.codes.engine.groups import Groups
from sightbook.codes.engine.sieve import Sieve, margins
from sightbook.codes.engine.stored import Stored
from sightbook.codes.pack import pack
from sightbook.errors import ConfigError


def draw(N, M, K, Q=3, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, K, (N, M), dtype=np.uint8)
    return (
        codes,
        rng.standard_normal((Q, M, K), dtype=np.float32),
        np.cumsum(rng.integers(1, 5, N)).astype(np.int64),
    )


def agree(engine, codes, tables, k, ids=None, *, threads=1):
    found, scores = engine.search(tables, k, threads=threads)
    true_ids, true_scores = oracle.search(tables, codes, k, ids)
    assert (found.dtype, scores.dtype) == (np.int64, np.float32)
    assert np.array_equal(found, true_ids)
    assert np.array_equal(scores.view(np.int32), true_scores.view(np.int32))


@pytest.fixture
def count(monkeypatch):
    """Counts calls of a method by name, so that a test can say which way an answer came."""
    calls = {}

    def watch(owner, name):
        method = getattr(owner, name)

        def counted(self, *args, **kwargs):
            calls[name] = calls.get(name, 0) + 1
            return method(self, *args, **kwargs)

        monkeypatch.setattr(owner, name, counted)

    watch(Sieve, "candidates")
    watch(Stored, "complete")
    return calls


@pytest.fixture
def small(monkeypatch):
    """Lets faiss, chunks and groups begin at a few rows."""
    monkeypatch.setattr(exact, "FEW", 16)
    monkeypatch.setattr(engine_room, "FEW", 16)
    monkeypatch.setattr(stored, "CHUNK", 96)


SHAPES = [
    (16, 16),
    (4, 16),
    (7, 16),
    (1, 16),
    (2, 16),
    (32, 16),
    (33, 16),
    (8, 256),
    (2, 256),
    (1, 256),
    (3, 256),
    (16, 256),
]


@pytest.mark.parametrize(("M", "K"), SHAPES)
@pytest.mark.parametrize("N", [0, 1, 5, 4096, 20_011])
def test_any_shape_agrees_with_the_oracle(M, K, N):
    codes, tables, ids = draw(N, M, K)
    engine = Engine(pack(codes, K), M, K, ids)
    assert len(engine) == N
    for k in (1, 10, 100, N, N + 7):
        if k:
            agree(engine, codes, tables, k, ids)


def make_table(rng, kind, M, K):
    table = rng.standard_normal((M, K), dtype=np.float32)
    if kind == "ties":
        table = np.round(table)
    elif kind == "zero":
        table[:] = 0
    elif kind == "minus zero":
        table = np.where(table > 0, np.float32(-0.0), np.float32(0))
    elif kind == "flat books":
        table = np.repeat(table[:, :1], K, axis=1)
    elif kind == "one flat book":
        table[0] = table[0, 0]
    elif kind == "one loud book":
        table[-1] *= 1e6
    elif kind == "far from zero":
        table += 1e4
    elif kind == "tiny":
        table *= np.float32(1e-38)
    elif kind == "huge":
        table *= np.float32(1e36)
    elif kind == "two levels":
        table = (table > 0).astype(np.float32)
    return table


KINDS = [
    "normal", "ties", "two levels", "zero", "minus zero", "flat books", "one flat book", "one loud book",
    "far from zero", "tiny", "huge",
]  # fmt: skip


@pytest.mark.usefixtures("small")
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_table_any_codes_any_k_agree_with_the_oracle(data):
    K = data.draw(st.sampled_from([16, 256]), "K")
    M, N = data.draw(st.integers(1, 20), "M"), data.draw(st.integers(0, 1500), "N")
    k, distinct = (
        data.draw(st.integers(1, 200), "k"),
        data.draw(st.sampled_from([None, 1, 3, 40]), "distinct"),
    )
    kinds = data.draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=4), "kinds")
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000), "seed"))
    codes = rng.integers(0, K, (N, M), dtype=np.uint8)
    if distinct:
        codes = codes[rng.integers(0, min(N, distinct), N)] if N else codes
    tables = np.stack([make_table(rng, kind, M, K) for kind in kinds])
    ids = np.cumsum(rng.integers(1, 9, N)).astype(np.int64) - 5
    agree(
        Engine(pack(codes, K), M, K, ids),
        codes,
        tables,
        k,
        ids,
        threads=data.draw(st.integers(1, 2), "threads"),
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("M", "K"), [(16, 16), (8, 256), (4, 16), (5, 16)])
def test_every_trap_at_a_size_where_faiss_serves(kind, M, K):
    codes, _, ids = draw(30_000, M, K)
    rng = np.random.default_rng(1)
    tables = np.stack([make_table(rng, kind, M, K), rng.standard_normal((M, K), dtype=np.float32)])
    agree(Engine(pack(codes, K), M, K, ids), codes, tables, 100, ids)


@pytest.mark.parametrize(("M", "K"), [(16, 16), (8, 256)])
def test_a_healthy_query_asks_faiss_once_and_scores_no_other_row(count, M, K):
    codes, tables, ids = draw(30_000, M, K)
    agree(Engine(pack(codes, K), M, K, ids), codes, tables, 100, ids)
    assert count == {"candidates": 1}


def test_candidates_double_until_the_answer_is_certified(count):
    codes, tables, ids = draw(60_000, 16, 16)
    codes[1000:1500] = codes[0] = tables[0].argmax(
        axis=1
    )  # 501 rows tie at the top: 27, 54, … 864 candidates
    agree(Engine(pack(codes, 16), 16, 16, ids), codes, tables[:1], 10, ids)
    assert count == {"candidates": 6}


def test_a_score_that_fills_every_list_of_candidates_is_gone_through_to_its_end(count):
    codes, tables, ids = draw(60_000, 16, 16)
    codes[30_000:45_000] = tables[0].argmax(axis=1)
    engine = Engine(pack(codes, 16), 16, 16, ids)
    agree(engine, codes, tables[:1], 100, ids)
    assert count["complete"] == 1
    assert engine.search(tables[:1], 100)[0].tolist() == [ids[30_000:30_100].tolist()]


def test_a_loud_codebook_is_certified_only_when_its_best_codeword_is_exhausted(count):
    codes, tables, ids = draw(60_000, 16, 16)
    tables[:, 3] *= 1e5  # faiss's 8-bit table tells nothing but this codebook: 3,750 rows look equal
    agree(Engine(pack(codes, 16), 16, 16, ids), codes, tables, 100, ids)
    assert count == {"candidates": 6}  # 162, 324, … 5184
    codes[:40_000, 3] = tables[0, 3].argmax()
    agree(Engine(pack(codes, 16), 16, 16, ids), codes, tables[:1], 100, ids)
    assert count["complete"] == 1


def test_a_table_without_any_span_never_reaches_faiss(count):
    codes, tables, ids = draw(30_000, 16, 16)
    engine = Engine(pack(codes, 16), 16, 16, ids)
    found, scores = engine.search(np.zeros_like(tables), 50)
    assert found.tolist() == [ids[:50].tolist()] * 3
    assert scores.tolist() == [[0.0] * 50] * 3
    assert count == {"complete": 1}


def test_one_sick_query_among_healthy_ones_is_searched_again_alone(count, monkeypatch):
    codes, tables, ids = draw(30_000, 16, 16, Q=5)
    tables[2] = 0
    seen = []
    complete = Stored.complete
    monkeypatch.setattr(Stored, "complete", lambda self, t, k: seen.append(len(t)) or complete(self, t, k))
    agree(Engine(pack(codes, 16), 16, 16, ids), codes, tables, 10, ids)
    assert seen == [1]
    assert count["candidates"] == 1


@pytest.mark.parametrize(("M", "K"), [(16, 16), (4, 16), (1, 16), (9, 16), (8, 256)])
@pytest.mark.parametrize("kind", ["normal", "far from zero", "one loud book", "one flat book", "ties"])
def test_no_exact_score_exceeds_its_approximate_one_by_more_than_the_margin(M, K, kind):
    codes, _, _ = draw(5000, M, K)
    rng = np.random.default_rng(2)
    tables = np.stack([make_table(rng, kind, M, K) for _ in range(20)])
    sieve = Sieve(pack(codes, K), M, K)
    most = margins(tables)
    for q, table in enumerate(tables):
        approximate, rows = sieve.index.search(table.reshape(1, -1), 2000)
        keep = rows[0] >= 0
        if np.isfinite(most[q]):
            excess = oracle.score(table, codes[rows[0][keep]]) - approximate[0][keep]
            assert excess.max() <= most[q]


def test_candidates_come_best_first_and_no_other_row_has_a_better_approximate_score():
    codes, tables, _ = draw(5003, 16, 16, Q=4)
    sieve = Sieve(pack(codes, 16), 16, 16)
    every, order = sieve.index.search(tables.reshape(4, -1), 5003)
    rows, approximations = sieve.candidates(tables, 300)
    for q in range(4):
        approximate = np.empty(5003, np.float32)
        approximate[order[q]] = every[q]
        assert np.array_equal(approximations[q], approximate[rows[q]])
        assert (np.diff(approximations[q]) <= 0).all()
        assert approximate[np.setdiff1d(np.arange(5003), rows[q])].max() <= approximations[q, -1]


def test_sixteen_bits_are_searched_by_distinct_code():
    codes, tables, ids = draw(400_000, 4, 16, Q=8)
    engine = Engine(pack(codes, 16), 4, 16, ids)
    assert isinstance(engine.rows, Groups)
    for k in (1, 7, 100, 1000):
        agree(engine, codes, tables, k, ids)
    agree(engine, codes, np.round(tables), 100, ids)
    agree(engine, codes, np.zeros_like(tables[:1]), 100, ids)


@pytest.mark.parametrize(("M", "K"), [(16, 16), (32, 16), (5, 16), (8, 256), (1, 256)])
def test_a_collapsed_model_is_searched_by_distinct_code(M, K):
    codes, tables, ids = draw(20_000, M, K)
    codes = codes[np.random.default_rng(3).zipf(1.5, 20_000) % 300]
    engine = Engine(pack(codes, K), M, K, ids)
    assert isinstance(engine.rows, Groups)
    for k in (1, 10, 3000, 20_000):
        agree(engine, codes, tables, k, ids)


def test_distinct_codes_are_not_grouped_even_beside_a_crowd():
    codes, tables, ids = draw(30_000, 16, 16)
    codes[:6000] = codes[0]
    engine = Engine(pack(codes, 16), 16, 16, ids)
    assert isinstance(engine.rows, Exact)
    agree(engine, codes, tables, 100, ids)


def test_threads_do_not_change_the_answer():
    codes, tables, ids = draw(20_000, 16, 16, Q=300)
    engine = Engine(pack(codes, 16), 16, 16, ids)
    once, twice = engine.search(tables, 20), engine.search(tables, 20, threads=3)
    assert np.array_equal(once[0], twice[0])
    assert np.array_equal(once[1], twice[1])
    agree(engine, codes, tables[:20], 20, ids, threads=2)


def test_a_query_alone_is_answered_as_in_a_batch():
    codes, tables, ids = draw(20_000, 16, 16, Q=70)
    engine = Engine(pack(codes, 16), 16, 16, ids)
    together = engine.search(tables, 30)
    for q in range(0, 70, 9):
        alone = engine.search(tables[q : q + 1], 30)
        assert np.array_equal(alone[0][0], together[0][q])
        assert np.array_equal(alone[1][0].view(np.int32), together[1][q].view(np.int32))


def test_two_threads_may_search_one_engine_at_once():
    codes, tables, ids = draw(50_000, 16, 16, Q=20)
    engine = Engine(pack(codes, 16), 16, 16, ids)
    expected = oracle.search(tables, codes, 50, ids)[0]
    wrong = []

    def work():
        found = [(q, engine.search(tables[q : q + 1], 50)[0][0]) for q in list(range(20)) * 5]
        wrong.extend(q for q, ids in found if not np.array_equal(ids, expected[q]))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_number_of_openmp_threads_is_left_as_it_was():
    import faiss

    codes, tables, ids = draw(5000, 16, 16)
    faiss.omp_set_num_threads(2)
    Engine(pack(codes, 16), 16, 16, ids).search(tables, 5)
    assert faiss.omp_get_max_threads() == 2


def test_a_64_bit_code_takes_18_bytes_with_its_id_and_its_codes_are_not_copied():
    codes, _, ids = draw(200_000, 16, 16)
    packed = pack(codes, 16)
    engine = Engine(packed, 16, 16, ids)
    codebooks, blocks = 4 * 16 * 16 * 16, 8 * (int(ids[-1] - ids[0]) // 65536 + 2)
    assert engine.nbytes == 18 * 200_000 + 8 * (96 - 200_000 % 96) + codebooks + blocks
    assert engine.rows.stored.packed is packed


def test_tables_and_codes_in_any_memory_order_are_read_alike():
    codes, tables, ids = draw(20_000, 16, 16)
    engine = Engine(np.asfortranarray(pack(codes, 16)), 16, 16, ids)
    agree(engine, codes, tables.transpose(0, 2, 1).copy().transpose(0, 2, 1), 10, ids)
    agree(engine, codes, np.repeat(tables, 2, axis=0)[::2], 10, ids)


def test_the_callers_tables_are_not_changed():
    codes, tables, ids = draw(20_000, 16, 16)
    before = tables.copy()
    Engine(pack(codes, 16), 16, 16, ids).search(tables, 10)
    assert np.array_equal(tables, before)


def test_without_ids_rows_are_numbered():
    codes, tables, _ = draw(20_000, 16, 16)
    agree(Engine(pack(codes, 16), 16, 16), codes, tables, 10, None)


def test_no_queries_and_no_codes_give_empty_answers():
    codes, tables, ids = draw(5000, 16, 16)
    found, scores = Engine(pack(codes, 16), 16, 16, ids).search(tables[:0], 10)
    assert found.shape == scores.shape == (0, 10)
    found, scores = Engine(pack(codes[:0], 16), 16, 16, ids[:0]).search(tables, 10)
    assert found.shape == scores.shape == (3, 0)
    assert (found.dtype, scores.dtype) == (np.int64, np.float32)


def test_few_codes_are_searched_without_importing_faiss():
    program = (
        "import sys, numpy as np; from sightbook.codes.engine import Engine;"
        "e = Engine(np.zeros((4096, 8), np.uint8), 16, 16); e.search(np.ones((1, 16, 16), np.float32), 3);"
        "print([m for m in ('faiss', 'torch') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_query_that_is_not_finite_is_refused_by_number(value):
    codes, tables, ids = draw(5000, 16, 16)
    tables[1, 3, 5] = value
    with pytest.raises(ConfigError, match="query 1"):
        Engine(pack(codes, 16), 16, 16, ids).search(tables, 10)


def test_what_does_not_fit_is_refused_by_name():
    codes, tables, ids = draw(50, 16, 16)
    packed = pack(codes, 16)
    engine = Engine(packed, 16, 16, ids)
    for make, said in [
        (lambda: Engine(packed, 8, 16, ids), r"\(N, 4\) uint8"),
        (lambda: Engine(packed, 16, 17, ids), "K = 17"),
        (lambda: Engine(packed.astype(np.int16), 16, 16, ids), "int16"),
        (lambda: Engine(packed, 16, 16, ids[:-1]), r"\(50,\) int64"),
        (lambda: Engine(packed, 16, 16, ids.astype(np.int32)), "int32"),
        (lambda: Engine(packed, 16, 16, ids[::-1]), "ascend strictly"),
        (lambda: Engine(packed, 16, 16, ids // 9), "ascend strictly"),
        (lambda: engine.search(tables[:, :8], 3), r"\(Q, 16, 16\)"),
        (lambda: engine.search(tables[0], 3), r"\(Q, 16, 16\)"),
        (lambda: engine.search(tables.astype(np.float64), 3), "float64"),
        (lambda: engine.search(tables, 0), "k = 0"),
        (lambda: engine.search(tables, 3, threads=0), "0 threads"),
    ]:
        with pytest.raises(ConfigError, match=said):
            make()


def test_a_sample_tells_crowds_from_distinct_codes():
    codes, _, _ = draw(100_000, 16, 16)
    assert groups.crowding(pack(codes, 16)) == 0
    assert groups.crowding(pack(np.repeat(codes[:1], 100_000, axis=0), 16)) == 100_000

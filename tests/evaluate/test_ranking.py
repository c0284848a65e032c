"""Rankings and the figures made of them equal the slow loops, ties and junk included."""

from __future__ import annotations

import numpy as np
import pytest

from sightbook.codes import oracle
from sightbook.evaluate.judge import CUTOFFS, judge, judge_chance
from sightbook.evaluate.metrics import DEFINITIONS
from sightbook.evaluate.ranking import code_ranker, code_scorer, float_ranker, rank
from sightbook.evaluate.relevance import Truth
from tests.evaluate.reference import AVERAGE_PRECISION, code_score, expected, order


def test_equal_scores_go_by_id_also_at_the_last_place() -> None:
    scores = np.array([[1, 3, 2, 2, 2, 3, -0.0, 0.0]], np.float32)
    assert rank(scores, 3).tolist() == [[1, 5, 2]]
    assert rank(scores, 8).tolist() == [[1, 5, 2, 3, 4, 0, 6, 7]]
    assert rank(scores, 99).tolist() == rank(scores, 8).tolist()


def test_negative_scores_rank_in_order() -> None:
    scores = np.array([[-3, -1, 2, -1, -np.float32(1e-42), 0]], np.float32)
    assert rank(scores, 6).tolist() == [[2, 5, 4, 1, 3, 0]]


def test_junk_leaves_the_ranking_and_a_short_row_ends_in_minus_one() -> None:
    scores = np.array([[5, 4, 3, 2], [5, 4, 3, 2]], np.float32)
    junk = np.array([[1, 0, 1, 0], [1, 1, 1, 1]], bool)
    assert rank(scores, 3, junk).tolist() == [[1, 3, -1], [-1, -1, -1]]


def test_a_code_score_is_summed_in_the_oracles_order() -> None:
    random = np.random.default_rng(1)
    tables = random.normal(size=(5, 16, 16)).astype(np.float32) * np.float32(1e3)
    codes = random.integers(0, 16, (300, 16)).astype(np.uint8)
    scores = code_scorer(tables, codes)(1, 4)
    assert (scores == [[code_score(table, code) for code in codes] for table in tables[1:4]]).all()


@pytest.mark.parametrize(("M", "K", "values"), [(4, 16, 3), (16, 16, 1000), (8, 256, 5)])
def test_engine_and_plain_arrays_give_the_oracles_ids(M: int, K: int, values: int) -> None:
    random = np.random.default_rng(2)
    tables = random.integers(-values, values, (40, M, K)).astype(np.float32)
    codes = random.integers(0, K, (5000, M)).astype(np.uint8)
    truth, _ = oracle.search(tables, codes, 600)
    ranks = code_ranker(tables, codes)
    nothing = np.zeros((40, 5000), bool)
    assert (ranks(0, 40, 600, None) == truth).all()
    assert (ranks(0, 40, 600, nothing) == truth).all()
    assert (ranks(10, 20, 5000, None) == oracle.search(tables[10:20], codes, 5000)[0]).all()


def test_500_random_cases_equal_the_slow_reference() -> None:
    random = np.random.default_rng(3)
    names = list(DEFINITIONS)
    for case in range(500):
        name = names[case % 4]
        Q, N, M = (int(random.integers(1, high)) for high in (5, 40, 4))
        R = int(random.integers(1, N + 1))
        tables = random.integers(-2, 3, (Q, M, 16)).astype(np.float32)  # few values: ties everywhere
        codes = random.integers(0, 4, (N, M)).astype(np.uint8)
        several = case % 3 == 0
        labels = [[{str(c) for c in random.integers(0, 4, 1 + several)} for _ in range(n)] for n in (Q, N)]
        groups = [[("", "a", "b")[i] for i in random.integers(0, 3, n)] for n in (Q, N)]
        with_junk = case % 2 == 1
        truth = Truth.of(*labels, *(groups if with_junk else (None, None)))
        result = judge(code_ranker(tables, codes), truth, name=name, R=R, jobs=1 + case % 2)
        chance = judge_chance(truth, name, R)
        for q in range(Q):
            junk = [with_junk and groups[0][q] != "" and groups[0][q] == group for group in groups[1]]
            ids = order([code_score(tables[q], code) for code in codes], junk)
            hits = [bool(labels[0][q] & labels[1][i]) for i in ids]
            r = sum(hits)
            exact = AVERAGE_PRECISION[name](hits, r, R)
            assert result.ap[q] == pytest.approx(float(exact), abs=1e-12), (case, q)
            for n, values in result.precision.items():
                assert values[q] == sum(hits[:n]) / n
            if len(ids) <= 7:
                by_counting = float(expected(name, r, len(ids), R)) if ids else 0.0
                assert chance.ap[q] == pytest.approx(by_counting, abs=1e-12), (case, q)
        assert list(result.precision) == [n for n in CUTOFFS if n <= N]


def test_figures_do_not_depend_on_chunks_or_threads() -> None:
    random = np.random.default_rng(4)
    tables = random.normal(size=(700, 4, 16)).astype(np.float32)
    codes = random.integers(0, 16, (3000, 4)).astype(np.uint8)
    truth = Truth(random.integers(0, 5, 700), random.integers(0, 5, 3000))
    one, two = (judge(code_ranker(tables, codes), truth, name="hits-in-top-R", R=200, jobs=j) for j in (1, 3))
    alone = np.concatenate(
        [
            judge(
                code_ranker(tables[q : q + 1], codes),
                Truth(truth.query[q : q + 1], truth.database),
                name="hits-in-top-R",
                R=200,
                jobs=1,
            ).ap
            for q in range(0, 700, 100)
        ]
    )
    assert (one.ap == two.ap).all()
    assert (one.ap[::100] == alone).all()


def test_float_ranking_is_by_inner_product() -> None:
    random = np.random.default_rng(5)
    queries, database = (random.integers(-2, 3, (n, 6)).astype(np.float32) for n in (7, 50))
    ids = float_ranker(queries, database)(2, 7, 20, None)
    for row, q in zip(ids, queries[2:], strict=True):
        assert row.tolist() == order([q @ x for x in database], [False] * 50)[:20]

"""Figures with fine codes: the first by code in the order of totals, in a row of their own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sightbook.codes.oracle import fine_search
from sightbook.evaluate.ranking import code_ranker, fine_ranker
from sightbook.evaluate.report import Report, title_of
from sightbook.evaluate.run import evaluate
from sightbook.model.model import Model
from tests.evaluate.collections import draw, write_parquet
from tests.tiny import tiny_described, tiny_model


@pytest.mark.parametrize("junk", [False, True])
@pytest.mark.parametrize("depth", [1, 10, 500, 900])
def test_the_first_by_code_are_put_in_the_order_of_totals(junk: bool, depth: int) -> None:
    random = np.random.default_rng(0)
    Q, N, M, K, d = 6, 900, 4, 16, 8
    tables = random.integers(-2, 3, (Q, M, K)).astype(np.float32)
    codes = random.integers(0, K, (N, M), np.uint8)
    asked, fine = (random.integers(-3, 4, (n, d)).astype(np.int8) for n in (Q, N))
    gain = np.float32(0.05)
    out = random.random((Q, N)) < 0.7 if junk else None  # 270 left: fewer than 400
    ranker = fine_ranker(code_ranker(tables, codes), tables, codes, asked, fine, gain=gain, R=100)
    found = ranker(1, 5, depth, None if out is None else out[1:5])
    for q in range(1, 5):
        score = np.zeros(N, np.float32)
        for m in range(M):
            score += tables[q, m, codes[:, m]]
        order = [i for i in sorted(range(N), key=lambda i: (-score[i], i)) if out is None or not out[q, i]]
        total = {
            i: score[i] + gain * np.float32(int(asked[q].astype(int) @ fine[i].astype(int))) for i in order
        }
        order = sorted(order[:400], key=lambda i: (-total[i], i)) + order[400:]
        wanted = (order + [-1] * N)[:depth]
        assert found[q - 1].tolist() == wanted


@pytest.mark.parametrize("R", [1, 200, 300, 450])
def test_the_answers_judged_are_those_of_a_library_that_is_asked_for_as_many(R: int) -> None:
    random = np.random.default_rng(1)
    Q, N, M, K, d = 4, 950, 4, 16, 8
    tables = random.normal(size=(Q, M, K)).astype(np.float32)
    codes = random.integers(0, K, (N, M), np.uint8)
    asked, fine = (random.integers(-30, 31, (n, d)).astype(np.int8) for n in (Q, N))
    gain = np.float32(0.01)
    ranker = fine_ranker(code_ranker(tables, codes), tables, codes, asked, fine, gain=gain, R=R)
    wanted, _ = fine_search(tables, codes, asked, fine, gain=gain, k=R)
    assert ranker(0, Q, R, None).tolist() == wanted.tolist()


def test_a_model_with_fine_codes_has_a_row_for_them(tmp_path: Path) -> None:
    drawn = draw(66)
    write_parquet(tmp_path / "test.parquet", drawn[:18])
    write_parquet(tmp_path / "train.parquet", drawn[18:])
    described = Model.open(tiny_described(tmp_path / "m", bits=16), threads=1)
    plain = tiny_model(tmp_path / "plain")
    report = evaluate(described, "cifar10-I", tmp_path, against=[plain], jobs=1)
    fine = report.figures.fine
    assert fine is not None and fine.bits == 16 + 8 * 24 and {"1", "10"} <= fine.precision.keys()
    assert fine.map == pytest.approx(report.per_query["model fine"].mean(), abs=1e-12)
    assert fine.map != report.map and len(report.per_query["model fine"]) == 18
    assert report.against[0].fine is None and "against 0 fine" not in report.per_query
    assert report.text().count("  with fine code") == 1
    assert title_of(report, "model fine") == "neighbours, 16 bits, with fine code"
    content = json.loads(json.dumps(report.to_json()))
    assert Report.from_json(content) == report
    for row in (content, *content["against"], *content["nested"]):
        del row["fine"]  # an older document
    older = Report.from_json(content)
    assert older.figures.fine is None and older.map == report.map

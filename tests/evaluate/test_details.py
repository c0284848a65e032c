"""What stands behind a mean, against slow loops, and the pictures drawn of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightbook.codes import oracle
from sightbook.codes.scale import Scale
from sightbook.errors import ConfigError, MissingExtra
from sightbook.evaluate import details, plots
from sightbook.evaluate.details import LEVELS, curve, usage
from sightbook.evaluate.ranking import code_ranker
from sightbook.evaluate.relevance import Truth
from sightbook.evaluate.report import Report
from sightbook.evaluate.run import evaluate
from sightbook.model.model import Model
from tests.evaluate.collections import draw, write_parquet
from tests.evaluate.reference import code_score, order
from tests.tiny import tiny_model


@pytest.mark.parametrize("junk", [False, True])
def test_curves_equal_slow_loops(junk: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(details, "CHUNK", 3)
    random = np.random.default_rng(4)
    Q, N, M, K = 7, 30, 2, 16
    tables = random.integers(-3, 4, (Q, M, K)).astype(np.float32)  # many ties
    codes = random.integers(0, 4, (N, M)).astype(np.uint8)
    asked, stored = ([f"{n}" for n in random.integers(0, 4, count)] for count in (Q, N))
    asked[2] = "nobody else's"
    groups = None if not junk else ["a", "", "b", "a", "c", "a", "b"]
    senders = None if not junk else [("a", "b", "")[n % 3] for n in range(N)]
    truth = Truth.of([[name] for name in asked], [[name] for name in stored], groups, senders)
    found = curve(code_ranker(tables, codes), truth, 2)
    at = dict.fromkeys((1, 2, 5, 10, 20), 0.0)
    by_recall: dict[float, list[float]] = {level: [] for level in LEVELS}
    for q in range(Q):
        out = [bool(groups and senders and groups[q] and groups[q] == senders[i]) for i in range(N)]
        hits = [stored[i] == asked[q] for i in order([code_score(tables[q], code) for code in codes], out)]
        for n in at:
            at[n] += sum(hits[:n]) / n / Q
        for level in LEVELS:
            wanted = level * sum(hits)
            for rank in range(1, len(hits) + 1):
                if sum(hits[:rank]) >= wanted - 1e-9 and sum(hits):
                    by_recall[level].append(sum(hits[:rank]) / rank)
                    break
    assert found.at == pytest.approx(at)
    assert found.by_recall == pytest.approx({level: np.mean(rows) for level, rows in by_recall.items()})


def test_codewords_are_counted() -> None:
    codes = np.array([[0, 1], [0, 2], [3, 1]], np.uint8)
    assert usage(codes, 4).tolist() == [[2, 0, 0, 1], [0, 2, 1, 0]]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("cifar")
    drawn = draw(60)
    write_parquet(folder / "test.parquet", drawn[:18])
    write_parquet(folder / "train.parquet", drawn[18:])
    model = Model.open(tiny_model(folder / "model", M=2, d=4, size=16), threads=1)
    return evaluate(model, "cifar10-I", folder, jobs=1, details=True)


def test_samples_go_from_the_best_query_to_the_worst_and_tell_right_from_wrong(report: Report) -> None:
    assert report.details is not None
    samples = report.details.samples
    assert len(samples) == 8 and all(len(sample.answers) == 9 for sample in samples)
    precisions = [sample.ap for sample in samples]
    assert precisions == sorted(precisions, reverse=True)
    assert (precisions[0], precisions[-1]) == (
        report.per_query["model"].max(),
        report.per_query["model"].min(),
    )
    for sample in samples:
        scores = [answer.score for answer in sample.answers]
        assert scores == sorted(scores, reverse=True) and scores[0] <= 1
        for answer in sample.answers:
            assert answer.right == (answer.picture.labels == sample.query.labels)
    assert report.details.curves.keys() == {"model", "float", "thumbnail"}
    assert report.details.usage.sum(axis=1).tolist() == [42, 42]


def test_scores_of_the_sheet_are_those_a_library_gives(report: Report) -> None:
    assert report.details is not None
    model = Model.open(report.figures.model, threads=1)
    scale = Scale(report.details.usage / 42)
    for sample in report.details.samples:
        tables = model.tables(model.embed(model.prepare(sample.query.entry.read())[None]))
        stored = np.stack([model.prepare(answer.picture.entry.read()) for answer in sample.answers])
        raw = oracle.score(tables[0], model.encode(stored))[None]
        wanted = scale.scores(raw, tables)[0]
        assert [answer.score for answer in sample.answers] == pytest.approx(wanted.tolist(), abs=1e-5)


def test_every_plot_is_drawn_and_the_frames_tell_right_from_wrong(report: Report, tmp_path: Path) -> None:
    drawn = plots.draw(report, tmp_path / "plots – ä")
    assert [path.name for path in drawn] == list(plots.NAMES)
    for path in drawn:
        with Image.open(path) as image:
            assert (
                image.width > 400
                and len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 10
            )
    with Image.open(drawn[-1]) as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 24) or []}
    assert (38, 128, 62) in colours and (176, 36, 44) in colours


def test_what_cannot_be_drawn_is_said_first(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file: give a folder for the plots"):
        plots.draw(report, tmp_path / "file")
    photo = tmp_path / "sheet.png"
    Image.new("RGB", (9, 9)).save(photo)
    before = photo.read_bytes()
    with pytest.raises(ConfigError, match=r"sheet\.png is there already, and no sheet or plot"):
        plots.draw(report, tmp_path)
    assert photo.read_bytes() == before and not (tmp_path / "precision.png").exists()
    photo.unlink()
    with pytest.raises(ConfigError, match="no curves to draw"):
        plots.draw(Report.from_json(report.to_json()), tmp_path)
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="drawing plots needs packages"):
        plots.check(tmp_path)

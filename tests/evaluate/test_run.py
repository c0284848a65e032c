"""The whole evaluation on pictures: equal to slow loops over the model's own codes, whatever the order of the files."""

from __future__ import annotations

import json
import subprocess
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightbook.errors import ConfigError, ModelError, SourceError
from sightbook.evaluate import run
from sightbook.evaluate.metrics import expected_average_precision
from sightbook.evaluate.report import Report
from sightbook.evaluate.run import evaluate
from sightbook.images.load.pool import digest
from sightbook.model.model import Model
from sightbook.progress import Notice, Progress
from tests.evaluate.collections import Drawn, draw, write_csv, write_files, write_parquet
from tests.evaluate.reference import AVERAGE_PRECISION, code_score, order
from tests.tiny import tiny_described, tiny_model

DRAWN = draw(66)
QUERIES, DATABASE = DRAWN[:18], DRAWN[18:]
KINDS = [kind for _, kind in DRAWN]
SENDERS = [str(i % 5) if i % 7 else "" for i in range(66)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    # 8 bits: 256 codes at most, many ties among 48 pictures.
    return Model.open(tiny_model(tmp_path_factory.mktemp("model"), M=2, d=4, size=16), threads=1)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("other"), M=4, d=4, size=32, seed=5)


@pytest.fixture
def cifar(tmp_path: Path) -> Path:
    write_parquet(tmp_path / "test.parquet", QUERIES)
    write_parquet(tmp_path / "train.parquet", DATABASE)
    return tmp_path


def slow_map(
    model: Model,
    name: str,
    R: int,
    *,
    symmetric: bool = False,
    senders: list[str] | None = None,
    kinds: Sequence[int] = KINDS,
) -> float:
    """Mean average precision by loops: every picture alone through the model, ids by content hash."""

    def content(i: int) -> bytes:
        return digest(DRAWN[i][0])

    ids = sorted(range(18, 66), key=content)
    codes = [model.encode(model.prepare(DRAWN[i][0])[None])[0] for i in ids]
    total = 0.0
    for q in range(18):
        x = model.embed(model.prepare(DRAWN[q][0])[None])
        table = (model.symmetric_tables(model.assign(x)) if symmetric else model.tables(x))[0]
        junk = [senders is not None and senders[q] != "" and senders[q] == senders[i] for i in ids]
        ranked = order([code_score(table, code) for code in codes], junk)
        hits = [kinds[ids[j]] == kinds[q] for j in ranked]
        total += float(AVERAGE_PRECISION[name](hits, sum(hits), R))
    return total / 18


def test_cifar10_figures_equal_the_slow_loops(model: Model, cifar: Path, other: Path) -> None:
    report = evaluate(model, "cifar10-I", cifar, against=[other], jobs=1)
    assert report.map == pytest.approx(slow_map(model, "hits-in-top-R", 48), abs=1e-12)
    assert report.figures.map_symmetric == pytest.approx(
        slow_map(model, "hits-in-top-R", 48, symmetric=True), abs=1e-12
    )
    assert report.against[0].map == pytest.approx(slow_map(Model.open(other), "hits-in-top-R", 48), abs=1e-12)
    assert (report.queries, report.database, report.R, report.classes, report.shared) == (18, 48, 48, 6, 0)
    assert report.baselines["random"].map == pytest.approx(expected_average_precision(8, 48), abs=1e-12)
    assert report.notes == (
        "not the official cifar10-I: 18 queries and 48 pictures instead of 10,000 and 50,000",
        "the ranking is cut at the whole database instead of 1000: it holds fewer pictures",
    )


@pytest.mark.parametrize("name", AVERAGE_PRECISION)
@pytest.mark.parametrize("with_junk", [False, True])
def test_each_definition_with_and_without_junk(
    model: Model, tmp_path: Path, name: str, with_junk: bool
) -> None:
    write_files(tmp_path / "test", {f"{i}.png": data for i, (data, _) in enumerate(QUERIES)})
    write_files(tmp_path / "train", {f"{i}.png": data for i, (data, _) in enumerate(DATABASE, start=18)})
    rows = [[f"{i}.png", kind, SENDERS[i]] for i, (_, kind) in enumerate(DRAWN)]
    labels = write_csv(tmp_path / "labels.csv", ["file", "label", "sender"], rows)
    R = None if name in ("trapezoid", "full-ranking") else 7
    report = evaluate(
        model,
        "labelled",
        tmp_path,
        labels=labels,
        junk="sender" if with_junk else None,
        R=R,
        ap_definition=name,
        baselines=["float"],
        jobs=1,
    )
    slow = slow_map(model, name, 7, senders=SENDERS if with_junk else None)
    assert report.map == pytest.approx(slow, abs=1e-12)
    assert (report.R, report.ap_definition, report.junk) == (R or 48, name, "sender" if with_junk else None)


def test_float_baseline_ranks_by_the_embeddings(model: Model, cifar: Path) -> None:
    report = evaluate(model, "cifar10-I", cifar, baselines=["float"], jobs=1)
    x = [model.embed(model.prepare(data)[None])[0] for data, _ in DRAWN]
    ids = sorted(range(18, 66), key=lambda i: digest(DRAWN[i][0]))
    total = 0.0
    for q in range(18):
        ranked = order([np.float32(x[q] @ x[i]) for i in ids], [False] * 48)
        hits = [DRAWN[ids[j]][1] == DRAWN[q][1] for j in ranked]
        total += float(AVERAGE_PRECISION["hits-in-top-R"](hits, 8, 48))
    assert report.baselines["float"].map == pytest.approx(total / 18, abs=1e-12)
    assert list(report.baselines) == ["float"]


def test_figures_do_not_depend_on_the_order_or_names_of_the_files(model: Model, tmp_path: Path) -> None:
    reports = []
    for turn, folder in enumerate([tmp_path / "a", tmp_path / "b"]):
        rows = []
        for part, pictures in (("test", QUERIES), ("train", DATABASE)):
            for i, (data, kind) in enumerate(pictures):
                name = f"{part}/{(i if turn == 0 else 99 - i):02d}-{turn * kind}.png"
                write_files(folder, {name: data})
                rows.append([name, kind])
        labels = write_csv(folder / "labels.csv", ["file", "label"], rows)
        reports.append(evaluate(model, "labelled", folder, labels=labels, R=10, jobs=1))
    one, two = reports
    assert replace(one, seconds=0.0) == replace(two, seconds=0.0)
    assert all((one.per_query[name] == two.per_query[name]).all() for name in one.per_query)


def test_labels_enter_by_being_equal_and_in_no_other_way(model: Model, tmp_path: Path) -> None:
    figures = []
    shuffled = np.random.default_rng(0).permutation(KINDS).tolist()
    for number, kinds in enumerate([KINDS, [9 - kind for kind in KINDS], shuffled]):
        folder = tmp_path / str(number)
        folder.mkdir()
        pictures = [(data, kind) for (data, _), kind in zip(DRAWN, kinds, strict=True)]
        write_parquet(folder / "test.parquet", pictures[:18], None)
        write_parquet(folder / "train.parquet", pictures[18:], None)
        figures.append(evaluate(model, "cifar10-I", folder, baselines=["float", "random"], jobs=1).to_json())
        figures[-1].pop("seconds")
    assert figures[0] == figures[1]
    assert figures[2]["map"] == pytest.approx(slow_map(model, "hits-in-top-R", 48, kinds=shuffled), abs=1e-12)
    assert figures[2]["map"] < figures[0]["map"]


def test_the_document_makes_a_round_trip(model: Model, cifar: Path, other: Path) -> None:
    report = evaluate(model, "cifar10-II", cifar, against=[model, other], jobs=1)
    document = json.loads(json.dumps(report.to_json()))
    assert Report.from_json(document) == report
    for key in (
        "map",
        "ap_definition",
        "bits",
        "protocol",
        "pretraining",
        "selection",
        "baselines",
        "map_symmetric",
    ):
        assert key in document
    assert document["protocol"] == "cifar10-II"
    assert (document["bits"], document["pretraining"], document["selection"]) == (8, "none", "last")
    assert document["fingerprint"] == model.fingerprint
    assert set(document["baselines"]) == {"float", "thumbnail", "random"}
    assert document["baselines"]["thumbnail"]["bits"] == 8
    assert document["against"][0]["map"] == document["map"]
    assert [other_model["bits"] for other_model in document["against"]] == [8, 16]
    assert "per_query" not in document


@pytest.mark.parametrize(
    ("protocol", "held_out", "told"), [("cifar10-II", 101, 1), ("cifar10-II", 100, 0), ("cifar10-I", 101, 0)]
)
def test_a_model_trained_on_more_than_the_protocol_allows_is_told(
    model: Model, cifar: Path, protocol: str, held_out: int, told: int
) -> None:
    trained = replace(model.config, trained={"pictures": 4_900, "held_out": held_out})
    report = evaluate(Model(model.folder, trained, model.codebooks, 1), protocol, cifar, jobs=1, baselines=())
    note = f"not the official {protocol}: {model.folder} was trained on 5,001 pictures, the protocol allows 5,000"
    assert list(report.notes).count(note) == told


@pytest.mark.parametrize("described", [True, False])
def test_learning_in_closed_form_is_learning_though_it_makes_no_step(
    described: bool, model: Model, cifar: Path, tmp_path: Path
) -> None:
    made = Model.open(tiny_described(tmp_path / "described"), threads=1) if described else model
    told = replace(made.config, trained={"pictures": 5_001, "steps": 0})
    assert told.described == described
    learned = Model(made.folder, told, made.codebooks, 1)
    report = evaluate(learned, "cifar10-II", cifar, jobs=1, baselines=())
    assert any("was trained on 5,001 pictures" in note for note in report.notes) == described


def test_a_document_that_is_no_report_is_refused() -> None:
    with pytest.raises(ConfigError, match="this is no evaluation report"):
        Report.from_json({"map": 1.0})
    with pytest.raises(ConfigError, match="newer than 1: update sightbook"):
        Report.from_json({"format": 2})


def test_the_text_is_one_aligned_table(model: Model, cifar: Path, other: Path) -> None:
    text = evaluate(model, "cifar10-I", cifar, against=[other], jobs=1).text()
    lines = text.splitlines()
    assert lines[0] == "cifar10-I: 18 queries, 48 pictures in the database, 6 classes"
    assert lines[1].startswith("mAP@48 (hits-in-top-R): mean precision at the hits in the top R")
    table = lines[3:9]
    assert table[0].split() == ["bits", "mAP@48", "symmetric", "P@1", "P@10"]
    assert len({len(line) for line in table}) == 1
    assert table[5].startswith("random order (expected)")
    assert f"{model.folder}: pretraining none, selection last" in lines
    assert f"{other}: pretraining none, selection last" in lines


def test_bad_pictures_are_left_out_named_and_counted(model: Model, tmp_path: Path) -> None:
    broken: list[Drawn] = [(DATABASE[0][0][:60], 0), (b"", 1)]
    write_parquet(tmp_path / "train.parquet", [*DATABASE, *broken])
    write_parquet(tmp_path / "test.parquet", [*QUERIES, (b"no picture", 2)])
    report = evaluate(model, "cifar10-I", tmp_path, jobs=1)
    assert report.map == pytest.approx(slow_map(model, "hits-in-top-R", 48), abs=1e-12)
    assert (report.queries, report.database) == (18, 48)
    assert sorted(one["picture"].partition("row ")[2] for one in report.failed) == ["18", "48", "49"]
    assert all(one["reason"] for one in report.failed)
    assert "3 pictures could not be read and were left out:" in report.text()


def test_nothing_readable_is_an_error(model: Model, tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", DATABASE)
    write_parquet(tmp_path / "test.parquet", [(b"no picture", 2)])
    with pytest.raises(SourceError, match="not one query could be read"):
        evaluate(model, "cifar10-I", tmp_path, jobs=1)


def test_shared_pictures_are_counted_in_official_protocols_and_refused_elsewhere(
    model: Model, tmp_path: Path
) -> None:
    write_parquet(tmp_path / "train.parquet", [*DATABASE, QUERIES[3], QUERIES[4]])
    write_parquet(tmp_path / "test.parquet", QUERIES)
    report = evaluate(model, "cifar10-I", tmp_path, jobs=1)
    assert report.shared == 2
    assert "2 queries are in the database as well, byte for byte" in report.text()
    with pytest.raises(
        ConfigError, match=r"2 query pictures are in the database as well, such as .*test.parquet row"
    ):
        evaluate(model, "labelled", tmp_path, jobs=1)


def test_a_query_without_relevant_pictures_counts_zero_and_is_told(model: Model, tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", [(data, kind % 5) for data, kind in DATABASE], None)
    write_parquet(tmp_path / "test.parquet", QUERIES, None)
    report = evaluate(model, "labelled", tmp_path, jobs=1)
    assert report.queries_without_relevant == 3
    assert (report.per_query["model"] == 0).sum() == 3
    assert report.map == pytest.approx(report.per_query["model"].sum() / 18)
    assert "3 queries have no relevant picture and count 0" in report.text()
    assert "1 class has no database picture: 5" in report.notes


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"R": 49}, "R is 49, but the database holds 48 pictures"),
        ({"R": 0}, "R is 0: give a whole number, 1 or more"),
        ({"R": 5, "ap_definition": "trapezoid"}, "judges the full ranking: leave R out"),
        ({"ap_definition": "iv"}, "unknown definition of average precision 'iv'"),
        ({"baselines": ["simhash"]}, "unknown baseline 'simhash': use any of float, thumbnail, features"),
        ({"protocol": "cifar"}, "unknown protocol 'cifar'"),
        ({"jobs": 0}, "jobs is 0: give a whole number, 1 or more"),
        ({"label_column": 3}, "label_column is 3 .int.: give a text"),
        ({"junk": "sender"}, "leave the labels file and the junk rule out"),
    ],
)
def test_what_does_not_fit_is_refused(
    model: Model, cifar: Path, arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        evaluate(model, **{"protocol": "cifar10-I", "data": cifar, **arguments})


def test_a_validation_cut_is_of_training_pictures_and_scores_no_query(model: Model, cifar: Path) -> None:
    report = evaluate(model, "cifar10-I", cifar, R=5, validation=True)
    asking = -(-len(DATABASE) // 10)
    assert (report.protocol, report.queries, report.database) == (
        "cifar10-I, validation", asking, len(DATABASE) - asking,
    )  # fmt: skip
    assert report.shared == 0 and not any("not the official" in note for note in report.notes)
    assert any("no query of the protocol was scored" in note for note in report.notes)
    before = report.map
    (cifar / "test.parquet").unlink()
    write_parquet(cifar / "test.parquet", QUERIES[:1])
    assert evaluate(model, "cifar10-I", cifar, R=5, validation=True).map == before


def test_a_folder_that_is_no_model_is_refused(cifar: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a sightbook model"):
        evaluate(tmp_path, "cifar10-I", cifar)


def test_too_few_pictures_leave_the_thumbnail_baseline_out(model: Model, tmp_path: Path) -> None:
    write_parquet(tmp_path / "p.parquet", DRAWN[:12])
    report = evaluate(model, "labelled", tmp_path / "p.parquet", jobs=1)
    assert (report.queries, report.database) == (2, 10)
    assert set(report.baselines) == {"float", "random"}
    assert (
        "the baseline thumbnail was left out: 10 pictures are too few to learn 16 codewords" in report.notes
    )


def test_equal_frames_are_decoded_once(
    model: Model, cifar: Path, other: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sizes = []
    from sightbook.evaluate import reading

    def counted(entries: Any, frame: Any, *, jobs: int | None) -> Any:
        sizes.append(frame.size)
        return load(entries, frame, jobs=jobs)

    load = reading.load
    monkeypatch.setattr(reading, "load", counted)
    same = tiny_model(tmp_path / "same", M=2, size=16, seed=9)
    evaluate(model, "cifar10-I", cifar, against=[same, other], baselines=[], jobs=1)
    assert sizes == [16, 32]


def test_listener_hears_every_picture_and_query(model: Model, cifar: Path) -> None:
    heard: list[Progress | Notice] = []
    evaluate(model, "cifar10-I", cifar, jobs=1, listener=heard.append)
    last = {event.stage: (event.done, event.total) for event in heard if isinstance(event, Progress)}
    assert last == {"encode": (66, 66), "rank": (90, 90)}  # two rankings of the model, three of baselines


def test_evaluation_does_not_import_torch() -> None:
    code = f"import sys, {run.__name__}; print('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "False\n"
    )


def test_shorter_codes_inside_a_code_are_judged_beside_it(cifar: Path, tmp_path: Path) -> None:
    whole = Model.open(tiny_model(tmp_path / "nested", M=8, d=4, nested=(16,)), threads=1)
    report = evaluate(whole, "cifar10-I", cifar, jobs=1)
    assert report.map == pytest.approx(slow_map(whole, "hits-in-top-R", 48), abs=1e-12)
    assert [row.bits for row in report.nested] == [16]
    assert report.nested[0].map == pytest.approx(slow_map(whole.prefix(16), "hits-in-top-R", 48), abs=1e-12)
    assert report.nested[0].map_symmetric == pytest.approx(
        slow_map(whole.prefix(16), "hits-in-top-R", 48, symmetric=True), abs=1e-12
    )
    assert "its first bits alone" in report.text()
    assert Report.from_json(json.loads(json.dumps(report.to_json()))).nested == report.nested


def test_parts_are_found_at_home_and_under_a_name_of_another_normalization(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / unicodedata.normalize("NFD", "Bücher")
    folder.mkdir()
    write_parquet(folder / "test.parquet", QUERIES)
    write_parquet(folder / "train.parquet", DATABASE)
    for written in (folder, tmp_path / unicodedata.normalize("NFC", "Bücher"), "~/Bücher"):
        report = evaluate(model, "labelled", written, baselines=(), jobs=1)
        assert (report.queries, report.database) == (18, 48), "the test part asks, no tenth of both"
    rows = [[f"{part}/{i}", "a"] for part, count in (("train", 48), ("test", 18)) for i in range(count)]
    write_csv(tmp_path / "l.csv", ["file", "label"], rows)
    assert evaluate(model, "labelled", folder, labels="~/l.csv", baselines=(), jobs=1).classes == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_vectors_that_are_no_numbers_are_left_out_and_no_copies_of_each_other(
    tmp_path: Path, value: float
) -> None:
    vectors = np.random.default_rng(0).normal(size=(80, 8))
    made = Model.fit(vectors, tmp_path / "model", bits=16)
    vectors[[0, 1, 2, 70]] = value
    np.save(tmp_path / "x.npy", vectors)
    labels = write_csv(tmp_path / "l.csv", ["file", "label"], [[i, i % 3] for i in range(80)])
    report = evaluate(made, "labelled", tmp_path / "x.npy", labels=labels, baselines=(), jobs=1)
    assert (report.queries, report.database, len(report.failed)) == (6, 70, 4)
    vectors[[0, 10, 20]] = vectors[3]
    np.save(tmp_path / "x.npy", vectors)
    with pytest.raises(
        ConfigError, match=r"3 query pictures are in the database as well, such as .*row 0 \(again .*row 3\)"
    ):
        evaluate(made, "labelled", tmp_path / "x.npy", labels=labels, baselines=(), jobs=1)


@pytest.mark.parametrize("count", [12, 80, 128, 300])
def test_each_vector_is_judged_by_its_own_label_though_queries_are_read_first(
    tmp_path: Path, count: int
) -> None:
    random = np.random.default_rng(0)
    kinds = random.integers(0, 3, count)
    vectors = 10 * np.eye(8)[kinds] + random.normal(size=(count, 8))  # told apart by a glance
    np.save(tmp_path / "x.npy", vectors)
    made = Model.fit(random.normal(size=(300, 8)), tmp_path / "model", bits=32)
    labels = write_csv(tmp_path / "l.csv", ["file", "label"], [[i, kind] for i, kind in enumerate(kinds)])
    report = evaluate(made, "labelled", tmp_path / "x.npy", labels=labels, baselines=["features"], jobs=1)
    assert report.baselines["features"].map > 0.99

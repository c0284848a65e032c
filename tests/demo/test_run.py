"""The whole path, small: real training for a moment, real library, real evaluation."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from sightbook.demo.draw import draw
from sightbook.demo.kinds import KINDS
from sightbook.demo.report import DemoReport
from sightbook.demo.run import ANSWERS, SHOWN, Work, run
from sightbook.errors import ConfigError, MissingExtra, SourceError
from sightbook.evaluate.run import evaluate
from sightbook.library.library import Library
from sightbook.model.builtin import BUILTIN
from sightbook.model.model import Model
from sightbook.progress import Notice, Progress
from tests.pictures import write_photos

pytest.importorskip("torch")


# The smallest network, and no probing of bf16: what is tested is the path.
QUICK = {
    "precision": "fp32",
    "batch": 32,
    "backbone.stem_width": 8,
    "backbone.widths": [8, 16],
    "backbone.depths": [1, 1],
}


SMALL = Work(database=288, queries=24, few=24, few_queries=6, epochs=1)


@dataclass
class Drawn:
    report: DemoReport
    events: list[Progress | Notice]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    events: list[Progress | Notice] = []
    out = tmp_path_factory.mktemp("drawn") / "demo"
    report = run(out, work=SMALL, settings=QUICK, listener=events.append)
    return Drawn(report, events)


def test_the_drawn_demo_goes_all_the_way(drawn: Drawn) -> None:
    report = drawn.report
    assert report.drawn and report.pictures == 288 and report.queries == 24
    assert report.ap_definition == "hits-in-top-R" and report.R == 100 and report.bits == 64
    kinds = report.folder / "pictures" / "kinds.csv"
    judged = evaluate(report.model, "labelled", kinds.parent, labels=kinds, baselines=["thumbnail", "random"])
    assert report.map == judged.map
    assert report.map_thumbnail == judged.baselines["thumbnail"].map
    assert report.map_random == judged.baselines["random"].map == pytest.approx(1 / 12, abs=0.06)
    assert report.few is not None and (report.few.pictures, report.few.queries) == (24, 6)
    part = evaluate(
        report.folder / "built-in",
        "labelled",
        report.folder / "few",
        labels=report.folder / "few" / "kinds.csv",
    )
    assert report.few.map_builtin == part.map
    with Library.open(report.library) as library:
        assert len(library) == 288
        assert library.model.fingerprint == Model.open(report.model).fingerprint
    with Image.open(report.sheet) as sheet:
        assert sheet.format == "PNG" and sheet.width > ANSWERS * 136 and sheet.height > SHOWN * 136
    stages = [event.stage for event in drawn.events if isinstance(event, Progress) and event.finished]
    assert stages[0] == "draw" and {"decode", "train", "scan", "encode", "rank"} <= set(stages)


def test_neither_model_nor_library_holds_a_kind(drawn: Drawn) -> None:
    report = drawn.report
    kinds = (report.folder / "pictures" / "kinds.csv").read_text()
    assert all(kind in kinds for kind in KINDS)
    files = [
        path for folder in (report.model, report.library) for path in folder.rglob("*") if path.is_file()
    ]
    assert len(files) > 8
    for path in files:
        if path.suffix != ".onnx":  # its graph names operators; pixels and codes are all that went in
            assert [
                kind for kind in ("stripes", "spiral", "letters") if kind.encode() in path.read_bytes()
            ] == []


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    for number in range(96):
        picture = draw(list(KINDS)[number % 12], np.random.default_rng(number), 32)
        Image.fromarray(picture).save(folder / f"{number:02d}.png")
    (folder / "50.png").write_bytes(b"not a picture")
    return folder


def test_own_pictures_without_labels_end_in_the_label_free_verdict(own: Path, tmp_path: Path) -> None:
    report = run(tmp_path / "demo", data=str(own), minutes=0.005, settings=QUICK)
    assert (report.drawn, report.pictures, report.map) == (False, 95, None)
    assert report.verdict and report.verdict in report.text()
    assert not (tmp_path / "demo" / "untrained").exists()
    assert report.sheet.is_file()


def test_own_pictures_with_labels_are_measured_by_them(own: Path, tmp_path: Path) -> None:
    rows = [
        {"image": {"bytes": path.read_bytes(), "path": path.name}, "label": number % 12}
        for number, path in enumerate(sorted(own.glob("*.png")))
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "own.parquet")
    report = run(tmp_path / "demo", data=str(tmp_path / "own.parquet"), minutes=0.005, settings=QUICK)
    assert report.map is not None and report.map_untrained is not None
    assert "query's label" in report.text()


def test_own_pictures_that_cannot_be_judged_end_in_the_verdict(own: Path, tmp_path: Path) -> None:
    rows = [
        {"image": {"bytes": path.read_bytes(), "path": path.name}, "label": number % 12}
        for number, path in enumerate(sorted(own.glob("*.png")))
    ]
    pq.write_table(pa.Table.from_pylist([*rows, rows[0]]), tmp_path / "own.parquet")
    heard: list[str] = []
    report = run(
        tmp_path / "demo", data=str(tmp_path / "own.parquet"), minutes=0.005, settings=QUICK,
        listener=lambda event: heard.append(getattr(event, "text", "")),
    )  # fmt: skip
    assert report.map is None and report.verdict in report.text() and report.sheet.is_file()
    assert any("Not judged: 1 query picture is in the database as well" in text for text in heard)


def test_own_photos_are_learned_from_as_train_would(tmp_path: Path) -> None:
    """By the built-in network, in closed form: there is no untrained network to stand beside it."""
    write_photos(tmp_path / "photos", 24, side=96)
    report = run(tmp_path / "demo", data=str(tmp_path / "photos"))
    assert Model.open(report.model).config.network["backbone"]["kind"] == BUILTIN
    assert report.verdict in report.text() and report.map_untrained is None


def test_nothing_is_drawn_before_what_is_needed_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sightbook.learn.choice.find_spec", lambda name: None)
    with pytest.raises(MissingExtra):
        run(tmp_path / "demo")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_drawn_where_something_lies(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(ConfigError):
        run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_source_that_is_not_there_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        run(tmp_path / "demo", data=str(tmp_path / "nowhere"))
    assert list(tmp_path.iterdir()) == []


def test_vectors_are_named_and_leave_no_folder(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.eye(4))
    with pytest.raises(SourceError, match="holds vectors, and the demo shows pictures: learn from them by"):
        run(tmp_path / "demo", data=str(tmp_path / "x.npy"))
    assert not (tmp_path / "demo").exists()


def test_the_command_refuses_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    done = subprocess.run(
        [sys.executable, "-m", "sightbook", "demo", "--out", ".", "--json"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["kind"] == "ConfigError"
    assert (
        done.stderr
        == "sightbook: . is not an empty folder: give --out a new one, the demo overwrites nothing\n"
    )

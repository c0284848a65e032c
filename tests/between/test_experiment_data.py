"""An experiment and the data its plan names: what lies there, its labels and its weights may become others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sightbook.benchmark.cell import Cell
from sightbook.benchmark.compare import comparisons, paired, unpaired
from sightbook.benchmark.data import digest_of, weights_of
from sightbook.benchmark.page import write_page
from sightbook.benchmark.plan import Plan
from sightbook.benchmark.results import Results
from sightbook.benchmark.run import Summary, benchmark
from sightbook.errors import SourceError
from sightbook.evaluate.protocols import protocol
from sightbook.progress import Notice, silent
from tests.pictures import write_photos
from tests.tiny import tiny_described

PLAN = """
title: Toy
protocol: labelled
data: {data}
labels: {labels}
bits: [16]
baselines: []
jobs: 1
cells:
  near: {{backbone: builtin}}
  far: {{backbone: builtin, settings: {{strength.own: 0.5}}}}
"""
RESULTS = Path(__file__).parents[2] / "results"


class Place:
    """Thirty pictures with labels and a plan."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.kinds = write_photos(folder / "photos", 30)
        self.label(self.kinds)
        self.plan = folder / "toy.yaml"
        self.plan.write_text(PLAN.format(data=folder / "photos", labels=folder / "labels.csv"))
        self.said: list[str] = []

    def label(self, kinds: dict[str, str]) -> None:
        text = "".join(f"{name},{kind}\n" for name, kind in kinds.items())
        (self.folder / "labels.csv").write_text("file,label\n" + text)

    def run(self, **options: Any) -> Summary:
        self.said.clear()

        def listener(event: Any) -> None:
            if isinstance(event, Notice):
                self.said.append(event.text)

        where = {"results": self.folder / "r", "page": self.folder / "page.md", "work": self.folder / "runs"}
        return benchmark(self.plan, listener=listener, **where, **options)

    def results(self) -> Results:
        return Results.open(self.folder / "r" / "toy.json")

    def heard(self, text: str) -> bool:
        return any(text in said for said in self.said)


def quick_train(sources: Any, out: Path, *, settings: Any, **options: Any) -> None:
    """A training that takes no time: a random model, another one for other settings."""
    folder = tiny_described(out, seed=len(str(settings)))
    content = json.loads((folder / "config.json").read_text())
    content["trained"] = {"seconds": 1.0, "steps": 0, "device": "cpu", "pictures": 27}
    content["network"] = {"backbone": {"kind": "builtin"}}
    (folder / "config.json").write_text(json.dumps(content))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr("sightbook.learn.train.train", quick_train)
    for name in ("draw_sheet", "draw_usage"):
        monkeypatch.setattr(f"sightbook.evaluate.plots.{name}", lambda *rest: None)
    monkeypatch.setattr("sightbook.benchmark.plots.draw", lambda *rest: [])
    found = Place(tmp_path / "p")
    assert found.run().ran == ("near-16-seed0", "far-16-seed0")
    return found


def test_nothing_changed_is_nothing_made_wherever_it_lies(place: Place) -> None:
    assert place.run().kept == ("near-16-seed0", "far-16-seed0")
    before = place.results()
    shutil.copytree(place.folder / "photos", place.folder / "elsewhere")  # other times, another root
    shutil.rmtree(place.folder / "photos")
    place.plan.write_text(place.plan.read_text().replace("/photos", "/elsewhere"))
    assert place.run().ran == ()
    assert place.results().runs == before.runs and place.results().aside == {}


def another_picture(place: Place) -> None:
    """The same names, size and time, other pixels in one file."""
    path = place.folder / "photos" / "004.jpg"
    write_photos(place.folder / "others", 30, seed=1)
    shutil.copyfile(place.folder / "others" / "004.jpg", path)


def another_name(place: Place) -> None:
    (place.folder / "photos" / "004.jpg").rename(place.folder / "photos" / "aaa.jpg")
    place.label({("aaa.jpg" if name == "004.jpg" else name): kind for name, kind in place.kinds.items()})


def another_label(place: Place) -> None:
    place.label({**place.kinds, "004.jpg": "other"})


def another_folder(place: Place) -> None:
    place.kinds = write_photos(place.folder / "third", 30, seed=2)
    place.plan.write_text(place.plan.read_text().replace("/photos", "/third"))


def more_pictures(place: Place) -> None:
    place.label({**place.kinds, **write_photos(place.folder / "photos", 36)})


@pytest.mark.parametrize(
    "change", [another_picture, another_name, another_label, another_folder, more_pictures]
)
def test_other_data_are_judged_anew_and_old_figures_leave_the_tables(place: Place, change: Any) -> None:
    old = place.results().runs
    change(place)
    summary = place.run(only="near")
    assert summary.ran == ("near-16-seed0",) and summary.kept == ()
    assert place.heard("2 runs in") and place.heard("are of other pictures, labels or weights")
    found = place.results()
    (near,), (far,) = found.runs.values(), found.aside.values()
    assert near["data"] == found.data != far["data"] and far == next(
        r for r in old.values() if r["cell"] == "far"
    )
    page = (place.folder / "page.md").read_text()
    assert "| far | neighbours | – | – | – | – | – |" in page, "no figure of the old data under the new"
    assert "- of other pictures, labels or weights, and in no table above: far/16/0" in page
    assert place.run().ran == ("far-16-seed0",)
    assert place.results().aside == {} and len(place.results().ap) == 2
    models = [path for path in (place.folder / "runs" / "toy").iterdir() if path.is_dir()]
    assert len(models) == 4, "no model of the old data was taken for the new"


def test_data_that_are_back_bring_their_figures_back(place: Place) -> None:
    before = place.results()
    another_label(place)
    place.run(only="near")
    place.label(place.kinds)
    assert place.run().ran == ("near-16-seed0",), "that of the other labels had taken its place"
    assert {run["map"] for run in place.results().runs.values()} == {
        run["map"] for run in before.runs.values()
    }


def test_without_the_data_finished_runs_stand_and_others_are_refused(place: Place) -> None:
    (place.folder / "photos").rename(place.folder / "away")
    assert place.run().kept == ("near-16-seed0", "far-16-seed0")
    assert place.heard("the data are not looked at, all runs are taken as they stand (There is nothing at")
    place.plan.write_text(place.plan.read_text().replace("bits: [16]", "bits: [16, 32]"))
    with pytest.raises(SourceError, match="There is nothing at"):
        place.run()


def test_results_of_before_digests_count_and_say_so(place: Place) -> None:
    path = place.folder / "r" / "toy.json"
    content = json.loads(path.read_text())
    del content["data"]
    for run in content["runs"]:
        for key in ("data", "weights", "failed"):
            del run[key]
    path.write_text(json.dumps(content))
    assert (
        place.run().ran == ()
        and place.heard("2 runs in")
        and place.heard("do not say which pictures they are of")
    )
    assert (
        "- do not tell which pictures they are of, their numbers are the same: far/16/0, near/16/0"
        in (place.folder / "page.md").read_text()
    )
    assert set(comparisons(place.results(), Plan.model_validate(content["plan"]))) == {("far", 16)}
    place.plan.write_text(
        place.plan.read_text() + "  third: {backbone: builtin, settings: {strength.own: 0.7}}\n"
    )
    assert place.run().ran == ("third-16-seed0",)
    found = place.results()
    plan = Plan.model_validate(found.plan)
    assert set(comparisons(found, plan)) == {("far", 16)}, (
        "an unknown collection is not paired with a known one"
    )
    assert unpaired(found, plan) == ["third/16/0"]
    assert (
        "Not compared with near, since their queries may be others (cell/bits/seed): third/16/0."
        in (place.folder / "page.md").read_text()
    )
    more_pictures(place)
    place.run(only="near")
    assert {run["cell"] for run in place.results().aside.values()} == {"far", "third"}, (
        "other numbers, so other data"
    )


def test_queries_pair_only_when_they_are_the_same() -> None:
    run = {"data": "a", "failed": [], "queries": 3, "database": 9}
    assert paired(run, dict(run)) and paired({"queries": 3, "database": 9}, {"queries": 3, "database": 9})
    for key, value in (("data", "b"), ("data", None), ("failed", ["x.jpg"]), ("queries", 4), ("database", 8)):
        assert not paired(run, {**run, key: value})


def test_the_digest_is_of_contents_and_junk_and_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path / "p")
    rows = "".join(f"{name},{kind},{i % 3}\n" for i, (name, kind) in enumerate(place.kinds.items()))
    labels = place.folder / "labels.csv"
    labels.write_text("file,label,sender\n" + rows)
    rule = protocol("labelled")
    split = rule.load(place.folder / "photos", labels, "sender")
    first = digest_of(split, "sender", tmp_path / "kept.json", silent)
    assert digest_of(split, None, tmp_path / "b.json", silent) != first, (
        "which pictures are junk decides the figure"
    )
    monkeypatch.setattr("sightbook.images.entry.Entry.read", lambda *rest: pytest.fail("read again"))
    assert digest_of(split, "sender", tmp_path / "kept.json", silent) == first


def test_weights_of_a_local_backbone_count(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"one")
    cell, named = Cell(backbone=str(folder)), Cell(settings={"backbone": {"name": str(folder)}})
    first = weights_of(cell)
    assert first is not None and weights_of(named) == first
    (folder / "README.md").write_text("words")
    assert weights_of(cell) == first
    (folder / "model.safetensors").write_bytes(b"two")
    assert weights_of(cell) != first
    assert weights_of(Cell(backbone="builtin")) is None and weights_of(Cell()) is None
    results = Results(
        tmp_path / "x.json", {}, {"d": {"cell": "a", "data": "1", "weights": first, "digest": "d"}}
    )
    assert results.settle("1", (1, 1), {"a": weights_of(cell)}) == (1, 0) and results.runs == {}
    assert results.settle("1", (1, 1), {"a": first}) == (0, 0) and list(results.runs) == ["d"]


@pytest.mark.skipif(not RESULTS.is_dir(), reason="a copy of the program without the project's results")
def test_the_projects_own_results_are_read_and_count_as_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sightbook.benchmark.plots.draw", lambda *rest: [])
    write_page(RESULTS, tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    assert "## CIFAR-10 from scratch, 64 bits, ten minutes of a CPU" in text
    for name in ("cifar10-cpu", "cifar10-cpu-30", "clip-batch"):
        found = Results.open(RESULTS / f"{name}.json")
        count = len(found.runs)
        declared = {run.digest for run in Plan.model_validate(found.plan).runs()}
        assert count > 0
        assert found.settle("new", (10_000, 50_000), {}) == (0, count)
        assert declared & set(found.runs), "declared anew, they are the same runs"
        assert found.settle("new", (9_999, 50_000), {}) == (count, 0)

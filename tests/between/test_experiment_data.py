"""An experiment and the data its plan names: what lies there, its labels and its weights may become others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sightbook.benchmark import make
from sightbook.benchmark.cell import Cell
from sightbook.benchmark.compare import comparisons, paired, unpaired
from sightbook.benchmark.data import digest_of, weights_of
from sightbook.benchmark.page import write_page
from sightbook.benchmark.plan import Plan
from sightbook.benchmark.results import Results
from sightbook.benchmark.run import Summary, benchmark
from sightbook.errors import ConfigError, SourceError
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
    assert set(comparisons(place.results())) == {("far", 16)}
    place.plan.write_text(
        place.plan.read_text() + "  third: {backbone: builtin, settings: {strength.own: 0.7}}\n"
    )
    assert place.run().ran == ("third-16-seed0",)
    found = place.results()
    assert set(comparisons(found)) == {("far", 16)}, "an unknown collection is not paired with a known one"
    assert unpaired(found) == ["third/16/0"]
    assert (
        "Not compared with near, since their queries may be others, or are not known one by one "
        "(cell/bits/seed): third/16/0." in (place.folder / "page.md").read_text()
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
    plan = Plan(title="x", protocol="labelled", data="d", cells={"a": {"backbone": "builtin"}})
    results = Results(
        tmp_path / "x.json", plan, {"d": {"cell": "a", "data": "1", "weights": first, "digest": "d"}}
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
        declared = {run.digest for run in found.plan.runs()}
        assert count > 0
        assert found.settle("new", (10_000, 50_000), {}) == (0, count)
        assert declared & set(found.runs), "declared anew, they are the same runs"
        assert found.settle("new", (9_999, 50_000), {}) == (count, 0)


def test_pictures_that_change_while_a_run_is_made_end_the_experiment(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.plan.write_text(
        place.plan.read_text() + "  third: {backbone: builtin, settings: {strength.own: 0.7}}\n"
    )
    original = make.evaluate

    def changing(*rest: Any, **options: Any) -> Any:
        another_label(place)
        return original(*rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(make, "evaluate", changing)
        with pytest.raises(SourceError, match=r"pictures or labels of .* changed while the experiment ran"):
            place.run()
    assert {run["cell"] for run in place.results().runs.values()} == {"near", "far"}, (
        "no figure of mixed data"
    )
    assert place.run().ran == ("near-16-seed0", "far-16-seed0", "third-16-seed0")
    assert len({run["data"] for run in place.results().runs.values()}) == 1


@pytest.mark.parametrize("labels", ["the same", "others"])
def test_runs_that_another_call_made_meanwhile_are_kept(place: Place, labels: str) -> None:
    ours = place.results()
    place.plan.write_text(
        place.plan.read_text() + "  third: {backbone: builtin, settings: {strength.own: 0.7}}\n"
    )
    if labels == "others":
        another_label(place)
    place.run(only="third")
    ours.save()
    found = place.results()
    third = found.runs if labels == "the same" else found.aside
    assert [run["cell"] for run in third.values()][-1] == "third"
    assert len(found.runs) + len(found.aside) == 3 == len(found.ap)


def test_a_baseline_that_came_later_is_told(place: Place) -> None:
    place.plan.write_text(place.plan.read_text().replace("baselines: []", "baselines: [float, itq]"))
    assert place.run().ran == ()
    assert place.heard("2 finished runs have no baseline itq: delete") and place.heard("no baseline float")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"no archive"])
def test_figures_by_query_that_are_damaged_cost_the_comparison_and_it_is_told(
    place: Place, content: bytes
) -> None:
    (place.folder / "r" / "toy.npz").write_bytes(content)
    assert place.run().kept == ("near-16-seed0", "far-16-seed0")
    assert "or are not known one by one (cell/bits/seed): far/16/0." in (place.folder / "page.md").read_text()


def test_results_that_cannot_be_drawn_are_named_before_anything_is_made(place: Place) -> None:
    content = json.loads((place.folder / "r" / "toy.json").read_text())
    content["plan"]["cells"]["far"]["method"] = "uninstalled"
    (place.folder / "r" / "other.json").write_text(json.dumps(content))
    place.plan.write_text(
        place.plan.read_text() + "  third: {backbone: builtin, settings: {strength.own: 0.7}}\n"
    )
    with pytest.raises(
        ConfigError, match=r"the plan in .*other\.json does not fit .*'uninstalled' is unknown"
    ):
        place.run()
    assert len(place.results().runs) == 2


def test_labels_in_a_column_that_the_plan_names(place: Place) -> None:
    text = (place.folder / "labels.csv").read_text().replace("file,label", "file,kind")
    (place.folder / "labels.csv").write_text(text)
    place.plan.write_text(place.plan.read_text() + "label_column: kind\n")
    assert place.run().kept == ("near-16-seed0", "far-16-seed0"), "the labels are the same"
    (place.folder / "labels.csv").write_text(text.replace("rows", "lines"))
    assert place.run().ran == ("near-16-seed0", "far-16-seed0")

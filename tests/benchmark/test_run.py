"""A whole experiment at toy size: made, stopped, gone on with, redrawn, and what may not be mixed."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import sightbook
from sightbook.benchmark import make, tables
from sightbook.benchmark.circumstances import circumstances
from sightbook.benchmark.page import write_page
from sightbook.benchmark.results import Results
from sightbook.benchmark.run import Summary, benchmark
from sightbook.benchmark.tables import mean, one_table
from sightbook.catalogue.lock import writer_lock
from sightbook.cli.benchmark import benchmark as command
from sightbook.cli.guard import guarded
from sightbook.errors import ConfigError, LibraryError, MissingExtra
from tests.evaluate.collections import draw, write_parquet

PLAN = """
title: A toy
protocol: cifar10-I
data: {data}
epochs: 1
jobs: 1
bits: [16, 32]
settings: {{batch: 8, precision: fp32, backbone: {{stem_width: 8, widths: [8, 16], depths: [1, 1]}}}}
cells:
  ours: {{bits: [32], nested: true, settings: {{snapshots: 2}}}}
  spq: {{method: spq, bits: [16], settings: {{views: {{blur: 0}}}}}}
"""
CHOOSING = """
title: Chosen by labels of training pictures
protocol: cifar10-I
data: {data}
epochs: 2
jobs: 1
bits: [16]
baselines: []
settings: {{batch: 8, precision: fp32, snapshots: 3, backbone: {{stem_width: 8, widths: [8, 16], depths: [1, 1]}}}}
cells:
  chosen: {{selection: train-labels}}
"""


class Place:
    """A folder with a small CIFAR-10, a plan, and where everything of an experiment goes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        drawn = draw(66)
        (folder / "cifar").mkdir(parents=True)
        write_parquet(folder / "cifar" / "test.parquet", drawn[:18])
        write_parquet(folder / "cifar" / "train.parquet", drawn[18:])
        self.plan = folder / "toy.yaml"
        self.plan.write_text(PLAN.format(data=folder / "cifar"))
        self.page = folder / "docs" / "results.md"
        self.results = folder / "results"

    def run(self, **options: Any) -> Summary:
        return benchmark(
            self.plan, results=self.results, page=self.page, work=self.folder / "runs", **options
        )

    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.results / "toy.json").read_text())
        return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The experiment, stopped in its second run, then finished."""
    made = Place(tmp_path_factory.mktemp("ein Versuch"))
    with pytest.MonkeyPatch.context() as patch:
        original = make.evaluate
        calls = []

        def stopping(model: Any, *rest: Any, **options: Any) -> Any:
            calls.append(model)
            if len(calls) == 3:  # ours takes two: its snapshots are judged as well
                raise KeyboardInterrupt
            return original(model, *rest, **options)

        patch.setattr(make, "evaluate", stopping)
        with pytest.raises(KeyboardInterrupt):
            made.run()
    assert [run["cell"] for run in made.document()["runs"]] == ["ours"]
    assert "| spq | spq | – |" in made.page.read_text(), "a missing cell is a dash"
    summary = made.run()
    assert (summary.ran, summary.kept, summary.failed) == (("spq-16-seed0",), ("ours-32-seed0",), ())
    return made


def test_every_figure_stands_with_its_circumstances(place: Place) -> None:
    ours, spq = place.document()["runs"]
    for run in (ours, spq):
        assert run["ap_definition"] == "hits-in-top-R" and run["protocol"] == "cifar10-I" and run["R"] == 48
        assert (run["pretraining"], run["selection"], run["seed"]) == ("none", "last", 0)
        assert run["machine"]["cores"] >= 1 and run["versions"]["torch"]
        assert run["seconds"]["evaluate"] > 0 and 0 < run["map"] < 1
        assert run["trained"]["pictures"] + run["trained"]["held_out"] == 48, "queries are not trained on"
        assert str(place.folder) not in json.dumps({**run, "notes": []}), "no path of the machine"
    assert [one["bits"] for one in ours["nested"]] == [16]
    assert [point["epochs"] for point in ours["over_time"]] == sorted(p["epochs"] for p in ours["over_time"])
    assert len(ours["over_time"]) == 3 and ours["over_time"][-1]["map"] == ours["map"]
    assert len(spq["over_time"]) == 1


def test_the_page_holds_tables_and_plots(place: Place) -> None:
    text = place.page.read_text()
    ours, spq = place.document()["runs"]
    assert f"| spq | spq | resnet | none | last | 1 epoch | {spq['map']:.3f} | – |" in text
    assert f"| ours | rcq | resnet | none | last | 1 epoch | – | {ours['map']:.3f} |" in text
    assert (
        f"| ours, its first bits | rcq | resnet | none | last | 1 epoch | {ours['nested'][0]['map']:.3f} | – |"
        in text
    )
    assert "mAP@48 (hits-in-top-R)" in text
    assert "- not the official cifar10-I: 18 queries and 48 pictures instead of 10,000 and 50,000" in text
    shown = [line.partition("](")[2].rstrip(")") for line in text.splitlines() if line.startswith("![")]
    assert {Path(name).name for name in shown} == {
        "toy-bits.png", "toy-precision.png", "toy-recall.png", "toy-time.png", "toy-tracking.png", "toy-ours-sheet.jpg",
        "toy-ours-codewords.png",
    }  # fmt: skip
    assert all((place.page.parent / name).stat().st_size > 2000 for name in shown)


def test_what_is_finished_is_not_made_again_and_what_changed_is(place: Place, tmp_path: Path) -> None:
    before = place.document()
    summary = place.run()
    assert summary.ran == () and place.document()["runs"] == before["runs"]
    results = Results.open(place.results / "toy.json")
    assert {name: len(ap) for name, ap in results.ap.items()} == {run["digest"]: 18 for run in before["runs"]}
    np.testing.assert_allclose(
        [results.ap[run["digest"]].mean() for run in before["runs"]],
        [run["map"] for run in before["runs"]],
        atol=1e-3,
    )


def test_a_run_that_cannot_be_made_is_reported_and_the_others_go_on(tmp_path: Path) -> None:
    place = Place(tmp_path / "p")
    text = place.plan.read_text().replace("method: spq, bits: [16]", "method: spq, bits: [16], epochs: 0")
    place.plan.write_text(
        text.replace("bits: [32], nested: true", "bits: [32], nested: true, backbone: nowhere")
    )
    summary = place.run()
    assert summary.ran == ("spq-16-seed0",)
    ((name, reason),) = summary.failed
    assert name == "ours-32-seed0" and "nowhere" in reason


@pytest.mark.parametrize(("plan", "R", "N"), [(PLAN, 49, 48), (CHOOSING, 45, 43)])
def test_an_r_above_the_database_is_refused_before_anything_is_learned(
    plan: str, R: int, N: int, tmp_path: Path
) -> None:
    place = Place(tmp_path / "p")
    place.plan.write_text(plan.format(data=place.folder / "cifar") + f"R: {R}\n")
    with pytest.raises(ConfigError, match=f"R is {R}, but the database holds {N} pictures"):
        place.run()
    assert not list((place.folder / "runs" / "toy").glob("*-seed0*"))


def test_one_cell_alone_and_a_cell_that_is_not_there(place: Place) -> None:
    with pytest.raises(ConfigError, match="has no cell 'theirs': it has ours, spq"):
        place.run(only="theirs")


def test_two_calls_at_once_are_refused(place: Place) -> None:
    with (
        writer_lock(place.folder / "runs" / "toy"),
        pytest.raises(LibraryError, match="is being written by process"),
    ):
        place.run()


def test_figures_of_another_definition_do_not_share_a_table(place: Place, tmp_path: Path) -> None:
    other = tmp_path / "toy.yaml"
    other.write_text(place.plan.read_text() + "\nap_definition: full-ranking\n")
    with pytest.raises(
        ConfigError, match="holds figures of ap_definition hits-in-top-R, this plan says full-ranking"
    ):
        benchmark(other, results=place.results, page=place.page, work=tmp_path / "runs")
    runs = place.document()["runs"]
    for key, value in (("protocol", "labelled"), ("ap_definition", "trapezoid"), ("R", 7)):
        with pytest.raises(ConfigError, match=f"results of different {key} .* cannot stand in one table"):
            one_table([runs[0], {**runs[1], key: value}])


def test_a_page_takes_no_other_files_place(place: Place, tmp_path: Path) -> None:
    other = tmp_path / "README.md"
    other.write_text("# Mine\n")
    with pytest.raises(ConfigError, match="is there already, and no page of results"):
        write_page(place.results, other)
    assert other.read_text() == "# Mine\n"
    other.write_text("")
    write_page(place.results, other)
    written = other.read_text()
    write_page(place.results, other)
    assert other.read_text() == written != ""


def test_a_page_is_drawn_from_the_files_alone_and_a_damaged_one_is_named(
    place: Place, tmp_path: Path
) -> None:
    write_page(place.results, tmp_path / "results.md")
    assert (tmp_path / "results.md").read_text().splitlines()[:12] == place.page.read_text().splitlines()[:12]
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "x.json").write_text('{"format": 1}')
    with pytest.raises(ConfigError, match=r"x\.json is no file of results"):
        write_page(tmp_path / "r", tmp_path / "results.md")
    (tmp_path / "r" / "x.json").write_text('{"format": 99}')
    with pytest.raises(ConfigError, match="has format 99, newer than 1"):
        write_page(tmp_path / "r", tmp_path / "results.md")


def test_a_mean_tells_its_seeds() -> None:
    assert mean([]) == "–"
    assert mean([0.4]) == "0.400"
    assert mean([0.4, 0.42, 0.44]) == "0.420 ± 0.020 (3)"


def test_a_validation_cut_of_the_training_pictures_chooses_the_state(place: Place, tmp_path: Path) -> None:
    plan = tmp_path / "choosing.yaml"
    plan.write_text(CHOOSING.format(data=place.folder / "cifar"))
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        original = make.evaluate

        def scripted(model: Any, *rest: Any, **options: Any) -> Any:
            report = original(model, *rest, **options)
            if not options.get("validation"):
                return report
            asked.append(report)
            assert (report.protocol, report.queries, report.database) == ("cifar10-I, validation", 5, 43)
            first, *others = [
                replace(figures, map=value)
                for figures, value in zip(
                    (report.figures, *report.against), (0.2, 0.4, 0.3, 0.1), strict=True
                )
            ]
            return replace(report, figures=first, against=tuple(others))

        patch.setattr(make, "evaluate", scripted)
        benchmark(plan, results=tmp_path, page=tmp_path / "page.md", work=tmp_path / "runs")
    (run,) = json.loads((tmp_path / "choosing.json").read_text())["runs"]
    assert len(asked) == 1 and (run["selection"], run["validation"]) == ("train-labels", [0.2, 0.4, 0.3, 0.1])
    (folder,) = (tmp_path / "runs" / "choosing").glob("chosen-*")
    second = json.loads((folder / "train" / "snapshots" / "0500" / "config.json").read_text())
    assert run["fingerprint"] == second["fingerprint"]
    assert len(run["over_time"]) == 4 and run["over_time"][1]["map"] == run["map"]
    assert "| chosen | rcq | resnet | none | train-labels |" in (tmp_path / "page.md").read_text()


CLOSED = """
title: Trained and not
protocol: cifar10-I
data: {data}
epochs: 1
jobs: 1
bits: [16, 32]
baselines: [float, features, lsh]
settings: {{batch: 8, precision: fp32, snapshots: 2}}
cells:
  builtin: {{backbone: builtin}}
  trained: {{bits: [32], settings: {{backbone: {{stem_width: 8, widths: [8, 16], depths: [1, 1]}}}}}}
grids:
  strengths:
    cell: {{backbone: builtin, bits: [16]}}
    over: {{strength.own: [0.1, 0.3, 0.5]}}
"""


def test_a_cell_in_closed_form_stands_beside_trained_ones(place: Place, tmp_path: Path) -> None:
    plan = tmp_path / "closed.yaml"
    plan.write_text(CLOSED.format(data=place.folder / "cifar"))
    where = {"results": tmp_path / "results", "page": tmp_path / "page.md", "work": tmp_path / "runs"}
    summary = benchmark(plan, epochs=0, **where)
    assert summary.failed == () and len(summary.ran) == 6
    assert benchmark(plan, epochs=0, **where).ran == ()
    runs = {(run["cell"], run["bits"]): run for run in json.loads(summary.results.read_text())["runs"]}
    closed, trained = runs["builtin", 32], runs["trained", 32]
    assert (closed["method"], closed["backbone"], closed["pretraining"]) == (
        "neighbours", "efficientnet_lite0", "labels",
    )  # fmt: skip
    assert (closed["declared"]["minutes"], closed["declared"]["epochs"]) == (None, None)
    assert closed["declared"]["settings"] == {}, "settings of steps are those of the trained cells alone"
    assert [one["bits"] for one in closed["nested"]] == [16], "every first part is a code by itself"
    assert closed["pictures_per_second"] is None and closed["trained"]["pictures"] == 48
    (point,) = closed["over_time"]
    assert (point["map"], point["epochs"], point["recall_at_1"]) == (closed["map"], None, None)
    text = summary.page.read_text()
    features, lsh = (
        [runs["builtin", b]["baselines"][name]["map"] for b in (16, 32)] for name in ("features", "lsh")
    )
    facts = "– | efficientnet_lite0 | labels | – | –"
    assert (
        f"| exact float search, backbone's features | {facts} | {features[0]:.3f} | {features[1]:.3f} |"
        in text
    )
    assert f"| the features, LSH | {facts} | {lsh[0]:.3f} | {lsh[1]:.3f} |" in text, (
        "once for all cells over it"
    )
    assert (
        f"| the features, LSH | – | resnet | none | – | – | – | {trained['baselines']['lsh']['map']:.3f} |"
        in text
    )
    finer = [runs["builtin", bits]["fine"] for bits in (16, 32)]
    assert [one["bits"] for one in finer] == [16 + 2048, 32 + 2048] and trained["fine"] is None
    shown = f"{finer[0]['map']:.3f} | {finer[1]['map']:.3f} |"
    told = "neighbours | efficientnet_lite0 | labels | last | closed form"
    assert f"| builtin, with fine code (2,048 bits more) | {told} | {shown}" in text
    row = f"{runs['builtin', 16]['map']:.3f} | {closed['map']:.3f} |"
    assert f"| builtin | neighbours | efficientnet_lite0 | labels | last | closed form | {row}" in text
    assert f"| trained | rcq | resnet | none | last | 0 epochs | – | {trained['map']:.3f} |" in text
    seen, perplexity = (trained["verdict"]["trained"][name] for name in ("recall_at_1", "perplexity"))
    assert details(text, "builtin").endswith("| – | – | – | – |")
    assert details(text, "trained").endswith(f"| {seen:.3f} | {perplexity:.3f} | 0.0 | – |")
    assert "| trained | 32 | 0: " in text, "the two are compared query by query"
    assert "strengths, over strength.own: nothing was known without labels; the best by mAP" in text
    assert (tmp_path / "page" / "closed-precision.png").exists()
    assert (tmp_path / "page" / "closed-builtin-sheet.jpg").exists()

    told = json.loads(summary.results.read_text())  # as of a collection that is large enough to be judged
    for number, run in enumerate(told["runs"]):
        if run["cell"].startswith("strengths"):
            run["map"] -= 0.01 * number  # so few pictures are found alike by all
        run["verdict"] |= {"agreement": run["map"] / 2} if run["method"] == "neighbours" else {}
    summary.results.write_text(json.dumps(told))
    write_page(where["results"], where["page"])
    text = summary.page.read_text()
    assert details(text, "builtin").endswith(f"| – | – | {closed['map'] / 2:.3f} | – | – |")
    assert details(text, "trained").endswith(f"| {perplexity:.3f} | – | 0.0 | – |")
    assert "chosen without labels (best agreement of halves): strengths-own_" in text
    assert "| settings of one method | agreement | +1.00 | 1 | 4 |" in text


def details(page: str, cell: str) -> str:
    """The second row of a cell: the figures of its longest code."""
    return [line for line in page.splitlines() if line.startswith(f"| {cell} | ")][1]


def test_baselines_of_features_stand_once_where_they_agree_and_by_cell_where_not() -> None:
    def run(cell: str, seed: int, value: float) -> dict[str, Any]:
        baselines = {"pq": {"map": value}, "thumbnail": {"map": 0.2}}
        return {
            "cell": cell, "bits": 32, "seed": seed, "backbone": "resnet", "pretraining": "none", "baselines": baselines,
        }  # fmt: skip

    def rows(*runs: dict[str, Any]) -> list[list[str]]:
        found = SimpleNamespace(runs=dict(enumerate(runs)))
        return [[title, *values] for title, _, values in tables.baselines(found, [16, 32])]  # type: ignore[arg-type]

    thumbnails, chance = ["colour thumbnails", "–", "0.200"], ["random order", "–", "–"]
    assert rows(run("a", 0, 0.3), run("a", 1, 0.3), run("b", 0, 0.3)) == [
        ["the features, PQ", "–", "0.300"], thumbnails, chance,
    ]  # fmt: skip
    assert rows(run("a", 0, 0.3), run("a", 1, 0.5), run("b", 0, 0.3)) == [
        ["the features, PQ (a)", "–", "0.400 ± 0.141 (2)"], ["the features, PQ (b)", "–", "0.300"], thumbnails, chance,
    ]  # fmt: skip


def test_first_bits_of_models_of_different_lengths_are_no_seeds_of_each_other() -> None:
    def run(bits: int, seed: int, first: float) -> dict[str, Any]:
        told = {
            "method": "rcq",
            "backbone": "resnet",
            "pretraining": "none",
            "selection": "last",
            "baselines": {},
            "declared": {"minutes": None, "epochs": 1},
        }
        nested = [{"bits": 16, "map": first}]
        return {"cell": "a", "bits": bits, "seed": seed, "map": 0.5, "nested": nested, **told}

    def rows(*runs: dict[str, Any]) -> dict[str, str]:
        found = Results(Path("a.json"), SimpleNamespace(all_cells={"a": None}), dict(enumerate(runs)))  # type: ignore[arg-type]
        lines = [line.split(" | ") for line in tables.by_bits(found, "mAP")]
        return {cells[0].removeprefix("| "): cells[6] for cells in lines if "first bits" in cells[0]}

    assert rows(run(64, 0, 0.2), run(64, 1, 0.2), run(128, 0, 0.4)) == {
        "a, its first bits of 64": "0.200 ± 0.000 (2)", "a, its first bits of 128": "0.400",
    }  # fmt: skip
    assert rows(run(64, 0, 0.2), run(64, 1, 0.2)) == {"a, its first bits": "0.200 ± 0.000 (2)"}


@pytest.mark.parametrize(
    ("trained", "accelerator"),
    [
        ({"device": "cpu"}, None),
        ({"device": "cuda:0", "accelerator": "NVIDIA H200"}, "NVIDIA H200"),
        ({"device": "cuda:1"}, "cuda:1"),
        ({"device": "mps"}, "mps"),
    ],
)
def test_a_gpu_is_named_where_there_is_none(trained: dict[str, Any], accelerator: str | None) -> None:
    assert circumstances(trained)["machine"]["accelerator"] == accelerator


def test_a_commit_is_that_of_the_program_not_of_a_repository_it_is_installed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in ("init -q", "-c user.name=n -c user.email=e commit -q --allow-empty -m theirs"):
        subprocess.run(["git", "-C", str(tmp_path), *words.split()], check=True)
    installed = tmp_path / ".venv" / "sightbook"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    monkeypatch.setattr(sightbook, "__file__", str(installed / "__init__.py"))
    found = circumstances({"device": "cpu"})
    assert (found["commit"], found["changed"]) == (None, None)
    subprocess.run(["git", "-C", str(tmp_path), "add", "-f", str(installed)], check=True)
    found = circumstances({"device": "cpu"})
    assert len(found["commit"]) == 40 and found["changed"], "a checkout of the program, with changes"


def test_with_a_failed_run_json_is_one_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Summary(
        tmp_path / "r.json", tmp_path / "p.md", ("a-16-seed0",), (), (("b-16-seed0", "no such network"),)
    )
    monkeypatch.setattr("sightbook.benchmark.run.benchmark", lambda *rest, **options: made)
    with pytest.raises(SystemExit) as leaving:
        guarded(command)(plan=Path("x.yaml"), as_json=True)
    out, err = capsys.readouterr()
    assert (leaving.value.code, json.loads(out)["ran"]) == (1, ["a-16-seed0"])
    assert err == "sightbook: 1 run failed, such as b-16-seed0: no such network\n"


def test_a_missing_package_for_the_plots_is_said_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path / "p")
    monkeypatch.setattr("sightbook.evaluate.plots.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="drawing plots needs packages"):
        place.run()
    assert not (place.folder / "runs").exists()

"""What a plan declares, and what it may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sightbook.benchmark import plots
from sightbook.benchmark.cell import Cell
from sightbook.benchmark.plan import Plan, read_plan
from sightbook.benchmark.results import Results
from sightbook.errors import ConfigError
from sightbook.learn import resolve

PLAN = """
title: A comparison
protocol: cifar10-I
data: ${PLACE}/cifar
minutes: 2
seeds: [0, 1]
settings: {batch: 64}
cells:
  ours: {}
  spq: {method: spq, seeds: [0], settings: {views: {blur: 0}}, epochs: 3}
grids:
  clips:
    cell: {method: transclippedclr, seeds: [0]}
    over: {clip: [0, 0.05], views.crop_min: [0.2, 0.4]}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "plan.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_cells_take_what_they_leave_out_from_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACE", "/somewhere else")
    plan = read_plan(write(tmp_path, PLAN))
    assert plan.places == (Path("/somewhere else/cifar"), None)
    assert plan.data == "${PLACE}/cifar", "results name no place of this machine"
    cells = plan.all_cells
    assert list(cells) == [
        "ours", "spq", "clips-clip_0-crop_min_0.2", "clips-clip_0-crop_min_0.4", "clips-clip_0.05-crop_min_0.2",
        "clips-clip_0.05-crop_min_0.4",
    ]  # fmt: skip
    assert (cells["ours"].method, cells["ours"].minutes, cells["ours"].epochs) == ("rcq", 2, None)
    assert (cells["spq"].minutes, cells["spq"].epochs) == (None, 3)
    assert cells["spq"].settings == {"batch": 64, "views": {"blur": 0}}
    last = cells["clips-clip_0.05-crop_min_0.4"]
    assert last.settings == {"batch": 64, "clip": 0.05, "views": {"crop_min": 0.4}}
    assert [(run.cell, run.seed) for run in plan.runs()][:3] == [
        ("ours", 0),
        ("spq", 0),
        ("clips-clip_0-crop_min_0.2", 0),
    ]
    assert [(run.cell, run.seed) for run in plan.runs()][-1] == ("ours", 1), "first seeds first"


def test_a_digest_names_what_decides_the_figures_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def digests(text: str) -> dict[str, str]:
        monkeypatch.setenv("PLACE", "/a")
        return {run.name: run.digest for run in read_plan(write(tmp_path, text)).runs()}

    before = digests(PLAN)
    assert len(set(before.values())) == len(before)
    assert digests(PLAN.replace("A comparison", "Another title").replace("/cifar", "/moved")) == before
    changed = digests(PLAN.replace("batch: 64", "batch: 32"))
    assert changed.keys() == before.keys() and not set(changed.values()) & set(before.values())
    less = digests(PLAN.replace("blur: 0", "blur: 1"))
    assert [name for name in before if before[name] != less[name]] == ["spq-64-seed0"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("cifar10-I", "cifar11"), "unknown protocol 'cifar11': use one of cifar10-I"),
        (("minutes: 2\n", ""), "needs a budget: either minutes or epochs"),
        (("method: spq", "method: spk"), "cells.spq.method 'spk' is unknown: choose one of neighbours, rcq"),
        (("title:", "tittle: x\ntitle:"), "tittle is no key of a plan; see docs/benchmark.md"),
        (("ours: {}", "'our/s': {}"), "the name 'our/s' becomes a folder"),
        (("${PLACE}", "$NOWHERE"), "needs the environment variable NOWHERE"),
        (("seeds: [0, 1]", "reference: theirs"), "the reference 'theirs' is none of the cells"),
        (("over: {clip: [0, 0.05], views.crop_min: [0.2, 0.4]}", "over: {}"), "names one or two settings"),
        (("seeds: [0, 1]", "ap_definition: mine"), "unknown definition of average precision 'mine'"),
        (("seeds: [0, 1]", "baselines: [float, pqq]"), "unknown baseline 'pqq': use any of float, thumbnail"),
        (
            ("seeds: [0, 1]", "R: 9\nap_definition: trapezoid"),
            "trapezoid judges the full ranking: leave R out",
        ),
    ],
)
def test_what_does_not_fit_is_said(
    change: tuple[str, str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACE", "/a")
    assert change[0] in PLAN
    with pytest.raises(ConfigError) as caught:
        read_plan(write(tmp_path, PLAN.replace(*change)))
    assert says in str(caught.value) and str(tmp_path) in str(caught.value)


def test_two_ways_to_choose_a_state_are_refused() -> None:
    with pytest.raises(ValueError, match="selection is train-labels here and label-free in the settings"):
        Cell(selection="train-labels", settings={"selection": "label-free"})
    assert Cell(selection="train-labels").trained_with == {"snapshots": 9}
    assert Cell(selection="train-labels", settings={"snapshots": 2}).trained_with == {"snapshots": 2}


def test_a_plan_without_cells_is_refused() -> None:
    with pytest.raises(ValueError, match="there is nothing to train"):
        Plan(title="x", protocol="cifar10-I", data="d", minutes=1)


CLOSED = """
title: Trained and not
protocol: cifar10-I
data: somewhere
minutes: 2
settings: {batch: 64, features: {limit_gib: 2, views: 4}, size: 32}
cells:
  ours: {}
  codes: {backbone: builtin}
"""


def test_a_cell_in_closed_form_takes_neither_budget_nor_settings_of_steps_from_the_plan(
    tmp_path: Path,
) -> None:
    plan = read_plan(write(tmp_path, CLOSED))
    for declared in (
        plan,
        plan.with_epochs(3),
        Plan.model_validate(plan.with_epochs(3).model_dump(mode="json")),
    ):
        codes = declared.all_cells["codes"]
        assert (codes.method, codes.minutes, codes.epochs) == ("neighbours", None, None)
        assert codes.settings == {"features": {"limit_gib": 2}, "size": 32}
    assert (plan.all_cells["ours"].minutes, plan.with_epochs(3).all_cells["ours"].epochs) == (2, 3)
    assert Cell(train="head", backbone="a/folder").method == "neighbours"
    assert Cell(train="head", backbone="a/folder", method="rcq").method == "rcq"
    alone = CLOSED.replace("minutes: 2\n", "").replace("  ours: {}\n", "")
    assert list(read_plan(write(tmp_path, alone)).all_cells) == ["codes"], "nothing here needs a budget"


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("{backbone: builtin, minutes: 1}", "cells.codes minutes would do nothing: method neighbours learns in closed"),
        ("{backbone: builtin, epochs: 0}", "epochs would do nothing: method neighbours learns in closed form, in sec"),
        ("{backbone: builtin, selection: train-labels}", "selection would do nothing: method neighbours"),
        ("{backbone: b, method: neighbours, train: all}", "train all would do nothing: method neighbours"),
        ("{backbone: builtin, settings: {tau: 1}}", "codes has settings that would do nothing, tau: method neighbours"),
        ("{method: neighbours}", "codes needs a backbone that is not trained for method neighbours: add backbone: bu"),
    ],
)  # fmt: skip
def test_what_a_cell_in_closed_form_may_not_say(cell: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_plan(write(tmp_path, CLOSED.replace("{backbone: builtin}", cell)))
    assert says in str(caught.value)


GRIDS = """
title: Names that begin alike
protocol: labelled
data: somewhere
bits: [16]
cells:
  own-x: {backbone: builtin}
grids:
  own:
    cell: {backbone: builtin}
    over: {strength.own: [0.1, 0.3]}
  own-two:
    cell: {backbone: builtin}
    over: {strength.own: [0.5, 0.7]}
"""


def test_a_grid_holds_its_own_cells_and_no_others_whatever_they_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = read_plan(write(tmp_path, GRIDS))
    members = {grid: [name for name, _ in plan.members(grid)] for grid in plan.grids}
    assert members == {
        "own": ["own-own_0.1", "own-own_0.3"],
        "own-two": ["own-two-own_0.5", "own-two-own_0.7"],
    }
    assert list(plan.all_cells) == ["own-x", *members["own"], *members["own-two"]]
    shares = {
        "own-x": 0.9,
        "own-own_0.1": 0.1,
        "own-own_0.3": 0.3,
        "own-two-own_0.5": 0.5,
        "own-two-own_0.7": 0.7,
    }
    runs = {name: {"cell": name, "bits": 16, "seed": 0, "map": share} for name, share in shares.items()}
    drawn: dict[str, list[str]] = {}

    def note(figure: Any, path: Path) -> None:
        drawn[path.name] = [text.get_text() for text in figure.axes[0].texts]

    monkeypatch.setattr(plots, "save", note)
    found = Results(tmp_path / "r.json", plan, runs)
    for grid in plan.grids:
        assert plots._grid_of(grid)(found, tmp_path / grid)
    assert drawn == {"own": ["0.100", "0.300"], "own-two": ["0.500", "0.700"]}
    assert plots._singles(found) == ["own-x"]


def test_values_of_a_grid_become_names_of_folders(tmp_path: Path) -> None:
    over = "over: {features.folder: [/a b/c, 'd/e'], size: [[32], {x: 1}]}"
    plan = read_plan(write(tmp_path, GRIDS.replace("over: {strength.own: [0.5, 0.7]}", over)))
    assert [name for name, _ in plan.members("own-two")] == [
        "own-two-folder__a_b_c-size__32_", "own-two-folder__a_b_c-size__x_1_", "own-two-folder_d_e-size__32_",
        "own-two-folder_d_e-size__x_1_",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("[0.1, 0.3]", "[0.1, 0.10]"), "two cells are called 'own-own_0.1': rename one"),
        (("own-x:", "own-own_0.3:"), "two cells are called 'own-own_0.3': rename one"),
        (
            ("over: {strength.own: [0.1, 0.3]}", "over: {seed: [1, 2]}"),
            "own-seed_1 has seed among its settings",
        ),
        (
            ("own-x: {", "own-x: {settings: {bits: 32, method: rcq}, "),
            "own-x has bits, method among its settings",
        ),
        (
            ("own-x: {", "own-x: {settings: {epochs: 3}, "),
            "own-x has epochs among its settings: say it as a key",
        ),
        (
            ("bits: [16]", "bits: [16]\nsettings: {seed: 3}"),
            "the plan has seed among its settings: say it as a key",
        ),
        (
            ("bits: [16]", "bits: [16]\nsettings: {bacth: 3}"),
            "the plan has bacth among its settings, which is none",
        ),
        (
            ("own-x: {", "own-x: {settings: {strenght.own: 1}, "),
            "own-x has strenght.own among its settings, which is none",
        ),
        (("bits: [16]", "bits: []"), "bits Tuple should have at least 1 item"),
    ],
)
def test_names_and_settings_that_would_mislabel_a_figure_are_refused(
    change: tuple[str, str], says: str, tmp_path: Path
) -> None:
    assert change[0] in GRIDS
    with pytest.raises(ConfigError) as caught:
        read_plan(write(tmp_path, GRIDS.replace(*change)))
    assert says in str(caught.value)


def test_a_cell_with_nothing_said_is_one(tmp_path: Path) -> None:
    plan = read_plan(write(tmp_path, PLAN.replace("${PLACE}", "x").replace("ours: {}", "ours:")))
    assert plan.all_cells["ours"].method == "rcq"


@pytest.mark.parametrize("text", ["title: 2024-99-99", "title: 0b_", "title: [", "title: \ud800"])
def test_what_is_no_yaml_is_said(text: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(ConfigError, match=r"plan\.yaml is not YAML"):
        read_plan(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a", "must hold settings as key: value lines"),
        ("a", "must hold settings as key: value lines"),
        ("yes: 1", "True is not a setting: their names are texts"),
        ("1: 2", "1 is not a setting: their names are texts"),
    ],
)
def test_keys_that_are_no_names_are_said(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"plan\.yaml:? {said}"):
        read_plan(write(tmp_path, text))
    with pytest.raises(ConfigError, match=rf"plan\.yaml:? {said}"):
        resolve("nowhere", config=tmp_path / "plan.yaml")

"""Every option reaches the function behind its verb, and what that returns is printed. The functions are stand-ins."""

from __future__ import annotations

import errno
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sightbook.cli import main
from sightbook.errors import PictureError
from sightbook.images.left_out import Group
from sightbook.progress import Notice, silent


@dataclass
class Answer:
    folder: Path = Path("model")
    sentence: str = "Training helped: a lot."
    left_out: tuple[Group, ...] = (Group("suffix", ".arw", 11),)

    def to_json(self) -> dict[str, Any]:
        return {"answer": 42}

    def text(self) -> str:
        return "a table"


@dataclass
class StandIn:
    """Remembers how it was called and tells the listener one thing."""

    arguments: tuple[Any, ...] = ()
    options: dict[str, Any] | None = None

    def __call__(self, *arguments: Any, **options: Any) -> Answer:
        options.pop("listener", silent)(Notice("working"))
        self.arguments, self.options = arguments, options
        return Answer()


def call(monkeypatch: pytest.MonkeyPatch, function: str, *command: str, code: int = 0) -> StandIn:
    stand_in = StandIn()
    monkeypatch.setattr(function, stand_in)
    monkeypatch.setattr(sys, "argv", ["sightbook", *command])
    with pytest.raises(SystemExit) as leaving:
        main()
    assert (leaving.value.code or 0) == code
    return stand_in


TRAIN = "sightbook.learn.train.train"
EVALUATE = "sightbook.evaluate.run.evaluate"


def test_train_leaves_to_the_function_what_was_not_said(monkeypatch: pytest.MonkeyPatch) -> None:
    said = call(monkeypatch, TRAIN, "train", "photos", "more.tar", "--out", "model")
    assert said.arguments == (["photos", "more.tar"], Path("model"))
    assert said.options == {
        "bits": None, "nested": False, "method": None, "backbone": None, "train_part": None, "preset": None,
        "epochs": None, "minutes": None, "device": "auto", "config": None, "settings": {},
        "seed": None, "resume": False, "jobs": None,
    }  # fmt: skip


def test_train_hands_every_option_on(monkeypatch: pytest.MonkeyPatch) -> None:
    said = call(
        monkeypatch, TRAIN, "train", "photos", "--out", "m", "--bits", "32", "--method", "x", "--backbone", "vit",
        "--preset", "small", "--epochs", "0", "--minutes", "2.5", "--device", "cpu", "--config", "c.yaml",
        "--set", "a=1", "--set", "b.c=x=y", "--seed", "7", "--resume", "--jobs", "3",
        "--nested", "--train", "last:2",
    )  # fmt: skip
    assert said.options == {
        "bits": 32, "nested": True, "method": "x", "backbone": "vit", "train_part": "last:2", "preset": "small",
        "epochs": 0, "minutes": 2.5, "device": "cpu", "config": Path("c.yaml"),
        "settings": {"a": "1", "b.c": "x=y"}, "seed": 7, "resume": True, "jobs": 3,
    }  # fmt: skip


def test_train_prints_the_verdict_and_what_comes_next(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, TRAIN, "train", "photos", "--out", "model")
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "Training helped: a lot.",
        "Left out: 11 .arw; --json names them",
        "Model: model",
        "Next:  sightbook add LIBRARY photos --model model",
    ]
    assert err == "working\n"


def test_a_setting_without_equals_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sightbook", "train", "photos", "--out", "m", "--set", "clip"])
    with pytest.raises(SystemExit) as leaving:
        main()
    assert leaving.value.code == 1
    assert (
        capsys.readouterr().err
        == "sightbook: --set clip: write it as KEY=VALUE, for example --set clip=0.1\n"
    )


def test_evaluate_hands_every_option_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sightbook.evaluate.plots.draw", lambda report, folder: [folder / "sheet.png"])
    said = call(
        monkeypatch, EVALUATE, "evaluate", "model", "--protocol", "labelled", "--data", "photos", "--labels", "l.csv",
        "--against", "m0", "--against", "m1", "--junk", "series", "-R", "50", "--jobs", "2",
        "--ap-definition", "trapezoid", "--baseline", "itq", "--baseline", "opq", "--plots", "drawn",
        "--validation", "--label-column", "kind",
    )  # fmt: skip
    assert said.arguments == (Path("model"), "labelled", "photos")
    assert said.options == {
        "labels": Path("l.csv"), "against": [Path("m0"), Path("m1")], "R": 50, "junk": "series", "jobs": 2,
        "label_column": "kind",
        "ap_definition": "trapezoid", "baselines": ["itq", "opq"], "details": True, "validation": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), PictureError("it is gone")]
)
def test_plots_that_cannot_be_drawn_cost_no_report(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr("sightbook.evaluate.plots.draw", fails)
    call(
        monkeypatch,
        EVALUATE,
        *["evaluate", "model", "--protocol", "labelled", "--data", "d", "--plots", "p"],
        code=1,
    )
    said = capsys.readouterr()
    assert said.out == "a table\n" and "Look at" not in said.out
    assert ("the disk is full" if isinstance(error, OSError) else "it is gone") in said.err


def test_demo_hands_every_option_on(monkeypatch: pytest.MonkeyPatch) -> None:
    said = call(
        monkeypatch, "sightbook.demo.run.run", "demo", "--data", "photos", "--out", "here", "--minutes", "2"
    )
    assert (said.arguments, said.options) == ((Path("here"),), {"data": "photos", "minutes": 2.0})


@pytest.mark.parametrize(
    ("function", "command"),
    [
        (TRAIN, "train photos --out model"),
        (EVALUATE, "evaluate model --protocol labelled --data photos"),
        ("sightbook.demo.run.run", "demo"),
    ],
)
def test_json_prints_the_document_alone(
    function: str, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, function, *command.split(), "--json")
    out, err = capsys.readouterr()
    assert json.loads(out) == {"answer": 42}
    assert err == "working\n"


@pytest.mark.parametrize(
    ("function", "command"),
    [(EVALUATE, "evaluate model --protocol labelled --data photos"), ("sightbook.demo.run.run", "demo")],
)
def test_people_get_the_text(
    function: str, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, function, *command.split())
    assert capsys.readouterr().out == "a table\n"

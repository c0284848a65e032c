"""Methods that a user brings along: registered, installed, or in a file; what they may not do; life without them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import sightbook
from sightbook.benchmark.cell import Cell
from sightbook.cli import completion
from sightbook.cli.options import names_for
from sightbook.errors import ConfigError
from sightbook.learn import Method, log, register, trainer
from sightbook.learn.losses import contrast
from sightbook.learn.methods import registry as methods
from sightbook.learn.settings.config import build
from sightbook.learn.settings.presets import layers
from sightbook.model.model import Model
from sightbook.progress import Notice
from tests.learn.conftest import TINY, Train, pictures, weights

FILE = """
from dataclasses import dataclass

from sightbook.config import TrainConfig  # as methods were first documented
from sightbook.learn import Method
from sightbook.learn.losses import contrast


@dataclass
class Terms:
    pull: float = 0.1
    square: bool = True


class Loss:
    def __call__(self, batch, config: TrainConfig):
        distance = (batch.x - batch.z.detach()).norm(dim=1)
        distance = distance.square() if config.term("square") else distance
        return {"contrast": contrast(batch.z, config.tau), "pull": config.term("pull") * distance.mean()}


pull = Method(Loss(), settings={"tau": 0.3, "clip": 0, "terms": Terms()})
"""


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, Method]:
    """What is registered in a test is forgotten after it."""
    fresh: dict[str, Method] = {}
    monkeypatch.setattr(methods, "FOUND", fresh)
    return fresh


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "own" / "mine.py"
    path.parent.mkdir()
    path.write_text(FILE)
    return path


def install(folder: Path, package: str, points: dict[str, str], **modules: str) -> None:
    """An installed package, as pip leaves one behind."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = "".join(f"{name} = {target}\n" for name, target in points.items())
    (info / "entry_points.txt").write_text(f"[sightbook.methods]\n{lines}")
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)


def config_of(method: str, **settings: Any) -> Any:
    return build([*layers("small", 32, None, method), TINY, {"epochs": 2}, settings])


def test_a_registered_method_learns_as_a_built_in_one_does(
    train: Train, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "EVERY_SECONDS", 0.0)

    def loss(batch: Any, config: Any) -> torch.Tensor:
        return contrast(batch.z, config.tau, clip=config.clipped(batch.pictures))

    register("plain", Method(loss, {"tau": 0.2}))
    report = train(photos, tmp_path / "own", method="plain")
    train(photos, tmp_path / "ours", method="transclippedclr")
    assert report.steps == 8
    assert weights(tmp_path / "own") == weights(tmp_path / "ours")
    (line, *_) = log.read(tmp_path / "own" / "train")
    assert line["terms"] == {"plain": line["loss"]}
    assert Cell(method="plain").method == "plain", "a plan of experiments may name it"


def test_one_file_is_enough(
    file: Path, train: Train, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "EVERY_SECONDS", 0.0)
    train(
        photos,
        tmp_path / "m",
        method=f"{file}:pull",
        settings={"terms.pull": "0.5", "M": 8, "D": 32},
        nested=True,
    )
    settings = (tmp_path / "m" / "train" / "config.yaml").read_text()
    assert (
        "method: pull\n" in settings
        and "  pull: 0.5\n  square: true\n" in settings
        and "tau: 0.3" in settings
    )
    for line in log.read(tmp_path / "m" / "train"):
        assert list(line["terms"]) == ["contrast", "pull"]
        assert sum(line["terms"].values()) == pytest.approx(line["loss"], abs=1e-4)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"terms": {"pul": 1}}, "terms.pul would do nothing in method pull: it has terms.pull, terms.square"),
        ({"terms": {"rho": 0.1}}, "terms.rho would do nothing in method pull"),
        ({"terms": {"pull": "much"}}, "terms.pull must be a number, not 'much'"),
        ({"terms": {"pull": float("nan")}}, "terms.pull must be a number, not nan"),
        ({"terms": {"pull": None}}, "terms.pull must be a number, not None"),
        ({"terms": {"square": 2}}, "terms.square must be true or false, not 2"),
    ],
)
def test_its_terms_are_checked_as_those_of_built_in_ones(settings: Any, says: str, file: Path) -> None:
    methods.from_file(file, "pull")
    assert config_of("pull", terms={"pull": 3}).term("pull") == 3
    with pytest.raises(ConfigError) as caught:
        config_of("pull", **settings)
    assert says in str(caught.value)


def test_an_installed_package_brings_a_method(
    train: Train, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(
        tmp_path / "site",
        "pulls",
        {"pull": "pulling:pull", "bad": "gone:bad", "odd": "pulling:Loss"},
        pulling=FILE,
    )
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert methods.names()[-3:] == ["bad", "odd", "pull"] and "pulling" not in sys.modules
    assert completion.method("pu") == ["pull"] and completion.method("s") == ["spq", "sscq"]
    monkeypatch.setattr(sys, "argv", ["sightbook", "train", "--help"])
    assert names_for("train", completion.method).endswith("|dccq|bad|odd|pull")
    train(photos, tmp_path / "m", method="pull", epochs=1)
    assert methods.find("pull").origin == "package pulls"
    with pytest.raises(
        ConfigError,
        match=r"^method 'bad' of package pulls cannot be loaded \(ModuleNotFoundError: No module named",
    ):
        train(photos, tmp_path / "n", method="bad")
    with pytest.raises(
        ConfigError, match=r"^method 'odd' of package pulls is a type: its entry point must name"
    ):
        train(photos, tmp_path / "n", method="odd")
    with pytest.raises(
        ConfigError, match=r"'pul' is unknown: choose one of .*, bad, odd, pull; did you mean pull\?"
    ):
        train(photos, tmp_path / "n", method="pul")
    assert not (tmp_path / "n").exists()
    monkeypatch.delitem(sys.modules, "pulling")


def test_a_name_is_taken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photos: Path) -> None:
    with pytest.raises(
        ConfigError, match="method 'rcq' of this program has the name of a built-in one: rename it"
    ):
        register("rcq", Method(lambda batch, config: batch.x.sum()))
    install(tmp_path / "site", "one", {"rcq": "nowhere:rcq", "mine": "nowhere:mine"})
    install(tmp_path / "site", "two", {"mine": "elsewhere:mine"})
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert methods.find("rcq").built_in
    heard: list[str] = []
    sightbook.learn.resolve(  # type: ignore[attr-defined]
        photos, listener=lambda event: heard.append(event.text) if isinstance(event, Notice) else None
    )
    assert heard[1].startswith("method 'rcq' of package one is not used: it has the name of a built-in one")
    with pytest.raises(
        ConfigError, match="method 'mine' comes with package one and package two: uninstall one"
    ):
        methods.find("mine")
    here = register("mine", Method(lambda batch, config: batch.x.sum()))
    assert methods.find("mine") is here, "what this program registers goes before what is installed"


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: Method(3), "a method's loss is a function, not a int"),  # type: ignore[arg-type]
        (lambda: Method(print, {"terms": {"a": None}}), "terms.a of a method is None: give a number"),
        (lambda: Method(print, {"terms": {"a b": 1}}), "terms.a b of a method is 1"),
        (lambda: Method(print, {"terms": [1]}), "a method's terms are a mapping or a dataclass, not a list"),
        (lambda: Method(print, [1]), "a method's settings are a mapping, not a list"),  # type: ignore[arg-type]
        (lambda: Method(print, {"method": "rcq"}), "cannot name a method"),
        (lambda: register("x", print), "wrap its loss in sightbook.learn.Method"),  # type: ignore[arg-type]
        (lambda: register("a-b", Method(print)), "must be letters, digits and _"),
        (lambda: register("x", Method(None)), "method 'x' of this program has no loss"),
    ],
)
def test_what_is_no_method_is_refused(made: Any, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        made()
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "asked", "says"),
    [
        (FILE, "push", "mine.py has no method 'push': it has pull"),
        ("x = 1", "pull", "mine.py has no method 'pull': write pull = sightbook.learn.Method(loss) in it"),
        (
            "import nowhere",
            "pull",
            "mine.py cannot be run (ModuleNotFoundError: No module named 'nowhere'): correct",
        ),
        ("def (", "pull", "mine.py cannot be run (SyntaxError"),
        ("import sys\nsys.exit(3)", "pull", "mine.py cannot be run (SystemExit: 3): correct it"),
        (FILE.replace("pull = M", "rcq = M"), "rcq", "mine.py has the name of a built-in one: rename it"),
    ],
)
def test_a_file_without_the_method_is_said(
    text: str, asked: str, says: str, file: Path, photos: Path
) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        sightbook.train(photos, file.parent / "m", method=f"{file}:{asked}")
    assert says in str(caught.value)
    with pytest.raises(ConfigError, match="names no method in that file: write"):
        sightbook.train(photos, file.parent / "m", method=str(file))
    assert not (file.parent / "m").exists()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("1 / 0", "method 'pull' of {file} failed (ZeroDivisionError: division by zero): correct it"),
        ("config.term('push')", "failed (AttributeError: "),
        ("None", "returned nothing: it must return a scalar tensor, or one for the name of each term"),
        ("{'a': batch.x, 'b': 2.0}", "returned a: a tensor of shape (16, 16), b: a float: it must return"),
        ("{}", "every term of method pull has weight 0: nothing would be learned"),
        ("batch.x.detach().sum()", "the loss of method pull depends on nothing that is trained"),
    ],
)
def test_a_loss_that_fails_is_said(body: str, says: str, file: Path, train: Train, photos: Path) -> None:
    file.write_text(
        f"from sightbook.learn import Method\ndef loss(batch, config):\n    return {body}\npull = Method(loss)\n"
    )
    with pytest.raises(ConfigError) as caught:
        train(photos, file.parent / "m", method=f"{file}:pull", settings={"precision": "auto"})
    assert says.format(file=file) in str(caught.value)


def test_no_file_of_settings_has_code_run(file: Path, photos: Path, tmp_path: Path) -> None:
    file.write_text("raise SystemExit('it was run')")
    name = f"{file}:pull"
    (tmp_path / "c.yaml").write_text(f"method: {name}\n")
    says = "is unknown: .* a file is run only where --method itself names it"
    for options in ({"settings": {"method": name}}, {"config": tmp_path / "c.yaml"}):
        with pytest.raises(ConfigError, match=says):
            sightbook.train(photos, tmp_path / "m", **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=says):
        Cell(method=name)


def test_a_stopped_run_asks_for_its_method_by_name_and_goes_on_with_it(
    file: Path, train: Train, photos: Path, tmp_path: Path, known: dict[str, Method]
) -> None:
    train(photos, tmp_path / "whole", method=f"{file}:pull")
    step, calls = trainer.step, []

    def stopping(*arguments: Any) -> float:
        calls.append(1)
        if len(calls) == 5:
            signal.raise_signal(signal.SIGINT)
        return step(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "step", stopping)
        with pytest.raises(KeyboardInterrupt):
            train(photos, tmp_path / "cut", method=f"{file}:pull")
    del known["pull"]
    with pytest.raises(ConfigError) as caught:
        sightbook.train(photos, tmp_path / "cut", resume=True)
    assert str(caught.value) == (
        f"{tmp_path / 'cut'} was begun with method 'pull', which is not known here: install the package that brings "
        "it, or give its file again, --method FILE.py:pull"
    )
    with pytest.raises(ConfigError, match="was begun with other settings \\(method\\)"):
        register(
            "pull", Method(lambda batch, config: batch.x.sum(), {"terms": {"pull": 0.1, "square": True}})
        )
        sightbook.train(photos, tmp_path / "cut", resume=True, method="rcq")
    sightbook.train(photos, tmp_path / "cut", resume=True, method=f"{file}:pull", jobs=1)
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


def test_a_model_is_used_without_the_method_that_made_it(file: Path, photos: Path, tmp_path: Path) -> None:
    sightbook.train(photos, tmp_path / "m", method=f"{file}:pull", settings=TINY, epochs=0, jobs=1)
    file.unlink()
    codes = Model.open(tmp_path / "m").assign(Model.open(tmp_path / "m").embed(pictures(4)))
    assert codes.shape == (4, 4)
    command = [
        sys.executable,
        "-m",
        "sightbook",
        "add",
        "library",
        str(photos),
        "--model",
        "m",
        "--jobs",
        "1",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (tmp_path / "library" / "library.json").exists(), done.stderr

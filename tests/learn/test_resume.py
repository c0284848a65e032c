"""A run cut anywhere goes on along the same curve: weights equal to the last bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from sightbook.errors import ConfigError, ModelError
from sightbook.learn import store, trainer
from sightbook.learn.log import read
from sightbook.learn.run import Run
from sightbook.learn.settings.config import build
from tests.learn.conftest import GOOD, SIZE, TINY, Train, weights
from tests.pictures import write_photos

STEPS = 8  # 32 pictures in batches of 8, two epochs


@pytest.fixture
def whole(train: Train, photos: Path, tmp_path: Path) -> Path:
    """The run that nobody interrupted."""
    return train(photos, tmp_path / "whole").folder


def interrupt_at(number: int, what: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal comes in the middle of step `number` (from 0)."""
    original = trainer.step

    def step(run: Run, *rest: Any) -> float:
        if run.at.step == number:
            os.kill(os.getpid(), what)
        return original(run, *rest)

    monkeypatch.setattr(trainer, "step", step)


@pytest.mark.parametrize("number", [0, 4, STEPS - 1])
@pytest.mark.parametrize("what", [signal.SIGINT, signal.SIGTERM])
def test_a_run_cut_by_a_signal_goes_on_to_the_same_weights(
    what: int, number: int, *, whole: Path, train: Train, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "cut"
    handler = signal.getsignal(what)
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(number, what, patch)
        with pytest.raises(KeyboardInterrupt):
            train(photos, out)
    assert signal.getsignal(what) is handler
    assert not (out / "config.json").exists()
    with safe_open(out / "train" / "checkpoint.safetensors", framework="pt") as file:
        assert f'"step": {number + 1},' in file.metadata()["position"]  # the step was finished first
    report = train(photos, out, resume=True)
    assert weights(out) == weights(whole)
    assert (out / "codebooks.safetensors").read_bytes() == (whole / "codebooks.safetensors").read_bytes()
    assert report.steps == STEPS
    assert not (out / "train" / "checkpoint.safetensors").exists()
    steps = [line["step"] for line in read(out / "train")]
    assert steps == sorted(set(steps))


def test_a_killed_command_is_resumed_by_the_command_to_the_same_weights(
    train: Train, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    epochs, out = 12, tmp_path / "killed"
    script = (
        "import os, signal, sys; from sightbook.cli import main; from sightbook.learn import trainer\n"
        "real = trainer.step\n"
        "def step(run, *rest):\n"
        "    if run.at.step == 20: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(run, *rest)\n"
        "trainer.step = step; sys.argv[0] = 'sightbook'; main()\n"
    )
    config = tmp_path / "tiny.yaml"
    config.write_text(
        "{M: 4, D: 16, size: 16, resize: 16, batch: 8, precision: fp32, checkpoint_minutes: 1.0e-6, epochs: 12,\n"
        " backbone: {stem_width: 8, stem_stride: 1, widths: [8, 16], depths: [1, 1]}}\n"
    )
    command = ["train", str(photos), "--out", str(out), "--config", str(config), "--jobs", "1"]
    program = subprocess.run(
        [sys.executable, "-c", script, *command],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert program.returncode == -signal.SIGKILL, program.stderr
    assert (out / "train" / "checkpoint.safetensors").exists() and not (out / "config.json").exists()

    from sightbook.cli import main

    with pytest.raises(SystemExit) as ended:
        sys_argv = ["sightbook", *command, "--resume"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", sys_argv)
            main()
    heard = capsys.readouterr()
    assert ended.value.code in (0, None), heard.err
    assert "resuming at step" in heard.err
    assert str(out) in heard.out
    settings = {"checkpoint_minutes": 1e6}
    assert weights(out) == weights(train(photos, tmp_path / "whole", epochs=epochs, settings=settings).folder)


def test_a_run_killed_while_decoding_starts_over_when_resumed(
    whole: Path, train: Train, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "decoding"
    work = out / "train"
    work.mkdir(parents=True)
    (work / "config.yaml").write_text((whole / "train" / "config.yaml").read_text())
    (work / "pictures.u8").write_bytes(b"what a killed run leaves where files cannot be unlinked while open")
    with pytest.raises(
        ConfigError, match="is not empty: add --resume to go on with it, or give another folder"
    ):
        train(photos, out)
    train(photos, out, resume=True)
    assert weights(out) == weights(whole)


@pytest.mark.parametrize("before", [False, True])
def test_ctrl_c_while_decoding_leaves_the_folder_free(
    before: bool, train: Train, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model"
    if before:
        out.mkdir()
    original = store.load

    def load(*arguments: Any, **options: Any) -> Any:
        for number, item in enumerate(original(*arguments, **options)):
            if number == 10:
                raise KeyboardInterrupt
            yield item

    with monkeypatch.context() as patch:
        patch.setattr(store, "load", load)
        with pytest.raises(KeyboardInterrupt):
            train(photos, out)
    assert out.exists() == before
    assert not before or list(out.iterdir()) == []
    assert train(photos, out, epochs=0).pictures == GOOD - 8


def cut(train: Train, photos: Path, out: Path, **options: Any) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(2, signal.SIGINT, patch)
        with pytest.raises(KeyboardInterrupt):
            train(photos, out, **options)
    return out


@pytest.mark.parametrize("damage", ["garbage", "cut", "empty", "other network"])
def test_a_damaged_checkpoint_is_said(damage: str, train: Train, photos: Path, tmp_path: Path) -> None:
    out = cut(train, photos, tmp_path / "cut")
    path = out / "train" / "checkpoint.safetensors"
    content = path.read_bytes()
    if damage == "other network":
        other = {"backbone": {**TINY["backbone"], "widths": [8, 24]}}
        content = (
            cut(train, photos, tmp_path / "other", settings=other) / "train" / "checkpoint.safetensors"
        ).read_bytes()
    path.write_bytes(
        {
            "garbage": b"\x00" * 999,
            "cut": content[: len(content) // 2],
            "empty": b"",
            "other network": content,
        }[damage]
    )
    with pytest.raises(
        ModelError, match=r"checkpoint\.safetensors cannot be resumed from .*: delete it to start"
    ):
        train(photos, out, resume=True)
    path.unlink()
    assert train(photos, out, resume=True).steps == STEPS


def test_other_pictures_are_not_gone_on_with(train: Train, photos: Path, tmp_path: Path) -> None:
    out = cut(train, photos, tmp_path / "cut")
    write_photos(tmp_path / "others", GOOD, side=SIZE, seed=1)
    with pytest.raises(ConfigError, match=r"cut: the pictures are not those the run began with: start anew"):
        train(tmp_path / "others", out, resume=True)
    assert train(photos, out, resume=True).steps == STEPS


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"bits": 32}, "bits"),
        ({"seed": 1}, "seed"),
        ({"preset": "photo"}, "preset"),
        ({"backbone": "vit"}, "backbone"),
        ({"epochs": 3}, "epochs"),
        ({"epochs": None, "minutes": 5.0}, "minutes"),
        ({"settings": {"tau": "0.31"}}, "tau"),
        ({"settings": {"views.hue": 0.2, "optimizer.rate": 1e-3}}, "optimizer, views"),
        ({"settings": {"no.such": 1}}, "no"),
    ],
)
def test_resuming_with_other_settings_is_refused_by_name(
    asked: dict[str, Any], named: str, *, train: Train, photos: Path, tmp_path: Path
) -> None:
    import sightbook

    out = cut(train, photos, tmp_path / "cut")
    with pytest.raises(ConfigError, match=rf"was begun with other settings \({named}\): resume without them"):
        sightbook.train(photos, out, resume=True, jobs=1, **asked)


def test_resuming_with_the_same_settings_said_again_is_fine(
    train: Train, photos: Path, tmp_path: Path
) -> None:
    import sightbook

    out = cut(train, photos, tmp_path / "cut")
    again = {"tau": "0.20", "backbone.widths": (8, 16), "clip": 0.05}
    report = sightbook.train(
        photos, out, resume=True, bits=16, seed=0, epochs=2, backbone="resnet", settings=again, jobs=1
    )
    assert report.steps == STEPS


def test_only_an_unfinished_run_can_be_resumed(
    whole: Path, train: Train, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        ConfigError, match=r"whole already holds a model: it is finished and needs no --resume"
    ):
        train(photos, whole, resume=True)
    with pytest.raises(
        ConfigError, match=r"nowhere holds no training run to resume: start it without --resume"
    ):
        train(photos, tmp_path / "nowhere", resume=True)
    assert not (tmp_path / "nowhere").exists()


def test_the_resolved_settings_are_read_back(whole: Path) -> None:
    import yaml

    content = yaml.safe_load((whole / "train" / "config.yaml").read_text())
    assert build([content]).model_dump(mode="json") == content

"""`sightbook train --show`: the settings that training would use, and nothing else happens."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import sightbook
from sightbook.cli import main
from sightbook.errors import SightbookError
from sightbook.learn import resolve
from sightbook.learn.settings.config import TrainConfig, build, dump
from sightbook.progress import Notice, Progress
from tests.learn.conftest import TINY
from tests.pictures import write_photos


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("p") / "photos"
    write_photos(folder, 20)
    return folder


class Heard(list[str]):
    def __call__(self, event: Notice | Progress) -> None:
        if isinstance(event, Notice):
            self.append(event.text)


def said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *command: object
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["sightbook", "train", *map(str, command)])
    with pytest.raises(SystemExit) as leaving:
        main()
    out, err = capsys.readouterr()
    return int(leaving.value.code or 0), out, err


def test_what_is_shown_is_what_training_writes_down(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--set", "batch=8", "--set", "precision=fp32", "--set", "backbone.widths=[8, 8]"]
    options += ["--set", "backbone.depths=[1, 1]", "--epochs", "0", "--bits", "32", "--nested"]
    code, shown, err = said(capsys, monkeypatch, photos, "--show", "--out", tmp_path / "m", *options)
    assert code == 0 and not (tmp_path / "m").exists()
    assert err.splitlines() == [
        "preset small: the shorter side of the pictures is 32 pixels (median)",
        "method rcq: the default where a network learns",
    ]
    document = said(capsys, monkeypatch, photos, "--show", "--json", *options)[1]
    assert json.loads(document) == yaml.safe_load(shown)
    assert said(capsys, monkeypatch, photos, "--out", tmp_path / "m", *options, "--jobs", "1")[0] == 0
    assert (tmp_path / "m" / "train" / "config.yaml").read_text() == shown
    (tmp_path / "shown.yaml").write_text(shown)
    assert said(capsys, monkeypatch, photos, "--show", "--config", tmp_path / "shown.yaml")[1] == shown


def test_without_show_the_folder_is_needed(
    photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = said(capsys, monkeypatch, photos)
    assert code == 2 and out == "" and "name the folder to write, as in --out MODEL" in err


@pytest.mark.parametrize(
    "options",
    [
        {"method": "spk"},
        {"bits": 33},
        {"settings": {"taau": "1"}},
        {"settings": {"clip": "500"}},
        {"epochs": 1, "minutes": 1},
        {"backbone": "builtin", "method": "neighbours", "epochs": 1},
        {"backbone": "builtin", "device": "cuda"},
        {"backbone": "nowhere/at/all"},
        {"device": "nowhere"},
        {"resume": True},
        {"method": "gone.py:mine"},
        {"config": "gone.yaml"},
    ],
    ids=str,
)
def test_a_mistake_is_the_error_that_training_makes(
    options: dict[str, object], photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(SightbookError) as shown:
        resolve(photos, tmp_path / "m", **options)
    with pytest.raises(SightbookError) as real:
        sightbook.train(photos, tmp_path / "m", jobs=1, **options)
    assert (type(shown.value), str(shown.value)) == (type(real.value), str(real.value))


def test_an_occupied_folder_is_refused_and_a_begun_one_shows_its_own_settings(
    photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(SightbookError, match="is not empty: give another folder"):
        resolve(photos, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]
    begun = build([{"method": "transclippedclr", "epochs": 3, "seed": 7}, TINY])
    (tmp_path / "m" / "train").mkdir(parents=True)
    (tmp_path / "m" / "train" / "config.yaml").write_text(dump(begun))
    heard = Heard()
    assert resolve(photos, tmp_path / "m", resume=True, listener=heard) == begun
    assert heard == [f"{tmp_path / 'm'} keeps the settings it was begun with"]
    with pytest.raises(SightbookError, match="name it by --out"):
        resolve(photos, resume=True)


def test_what_was_chosen_is_said_before_it_is_shown(photos: Path, tmp_path: Path) -> None:
    heard = Heard()
    resolve(photos, listener=heard)
    assert heard == [
        "small pictures (32 pixels): a network is learned from scratch; for photos made small try --backbone builtin, "
        "too",
        "preset small: the shorter side of the pictures is 32 pixels (median)",
        "method rcq: the default where a network learns",
        "minutes 10: neither minutes nor epochs were given",
    ]
    write_photos(tmp_path / "large", 3, side=96)
    heard.clear()
    found = resolve(tmp_path / "large", backbone="builtin", method="rcq", listener=heard)
    assert (found.method, found.K, found.minutes) == ("rcq", 16, 2)
    assert heard == [
        "preset photo: the shorter side of the pictures is 96 pixels (median)",
        "size 224: what the built-in network was made for",
        "K 16: 3 pictures are too few for 256 codewords (from 600 on)",
        "minutes 2: neither minutes nor epochs were given",
    ]


def test_codes_in_closed_form_and_vectors_say_what_they_are(photos: Path, tmp_path: Path) -> None:
    heard = Heard()
    found = resolve(photos, backbone="builtin", listener=heard)
    assert (found.method, found.epochs, found.minutes, found.bits) == ("neighbours", None, None, 64)
    assert heard == [
        "size 224: what the built-in network was made for",
        "method neighbours: nothing of the backbone is trained",
        "nested 16, 32: a code in closed form has them in any case",
    ]
    np.save(tmp_path / "v.npy", np.zeros((20, 8), np.float32))
    with pytest.raises(SightbookError, match="there are no settings to show"):
        resolve(tmp_path / "v.npy")


def test_a_gpu_takes_batches_of_its_own(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    sentence = "batch 512: a GPU's step takes hardly longer than one for a few pictures"
    cases: list[tuple[Callable[..., TrainConfig], int]] = [
        (resolve, 512),
        (partial(resolve, settings={"batch": 32}), 32),
        (partial(resolve, device="cpu"), 64),
        (partial(resolve, method="spq"), 256),
    ]
    for ask, batch in cases:
        heard = Heard()
        assert ask(photos, listener=heard).batch == batch
        assert (sentence in heard) == (batch == 512)

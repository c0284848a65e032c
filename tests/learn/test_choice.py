"""What learning starts from when nobody says: photos from a network trained on photos, small pictures from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sightbook
from sightbook.errors import ConfigError
from sightbook.learn import choice, resolve
from sightbook.learn.choice import choose
from sightbook.learn.settings.config import dump
from sightbook.model import hub, known
from sightbook.model.builtin import BUILTIN
from sightbook.model.model import Model
from sightbook.progress import Notice
from tests.pictures import write_photos


@pytest.fixture(autouse=True)
def nothing_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "find_cached", lambda: None)


@pytest.mark.parametrize(
    ("asked", "preset", "backbone", "shorter", "expected"),
    [
        ({}, None, None, 480, BUILTIN),
        ({}, None, None, 65, BUILTIN),
        ({}, "photo", None, 32, BUILTIN),
        ({}, None, None, 64, None),
        ({}, None, None, 32, None),
        ({}, "small", None, 480, None),
        ({}, "paper", None, 480, None),
        ({"preset": "paper"}, None, None, 480, None),
        ({}, None, "resnet", 480, "resnet"),
        ({"backbone": {"kind": "vit"}}, None, None, 480, None),
        ({"backbone": {"widths": [8, 8]}}, None, None, 480, None),
        ({"size": 32}, None, None, 480, None),
        ({}, None, "some/folder", 480, "some/folder"),
    ],
)
def test_the_network_follows_from_the_pictures_and_what_was_asked(
    asked: dict[str, Any], preset: str | None, backbone: str | None, shorter: int, expected: str | None
) -> None:
    assert choose(asked, preset, backbone, shorter).backbone == expected


@pytest.mark.parametrize(
    ("asked", "method", "part", "kept", "words"),
    [
        ({"minutes": 3.0}, None, "head", set(), "--minutes is not spent"),
        ({"epochs": 20}, None, "head", set(), "--epochs is not spent"),
        (
            {"minutes": 3.0, "views": {"crop_min": 0.3}},
            "rcq",
            "head",
            {"minutes", "views"},
            "views.crop_min asks",
        ),
        ({"method": "spq", "epochs": 2}, "spq", "head", {"epochs"}, "--backbone resnet"),
        ({"backbone": {"train": "last:2"}, "minutes": 1.0}, None, "last:2", {"minutes"}, "--backbone resnet"),
        # Said by name that nothing is trained: a budget is a contradiction then, and is refused later on.
        ({"backbone": {"train": "head"}, "minutes": 1.0}, None, "head", {"minutes"}, "--backbone resnet"),
        ({"method": "neighbours", "minutes": 1.0}, "neighbours", "head", {"minutes"}, "--backbone resnet"),
    ],
)
def test_codes_are_learned_in_closed_form_unless_something_asks_for_steps(
    asked: dict[str, Any], method: str | None, part: str, kept: set[str], words: str
) -> None:
    before = repr(asked)
    made = choose(asked, None, None, 480)
    assert made.asked.get("method") == method and made.asked["backbone"]["train"] == part
    assert set(made.asked) - {"method", "backbone"} == kept
    assert any(words in sentence for sentence in made.why)
    assert repr(asked) == before, "the caller's own settings are not changed"


def test_an_untrained_network_must_be_named() -> None:
    with pytest.raises(ConfigError, match="--backbone resnet or vit"):
        choose({"epochs": 0}, None, None, 480)


def test_one_of_the_cache_is_taken_where_learning_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "find_cached", lambda: known.AUTOMATIC[0])
    assert choose({}, None, None, 480).backbone == known.AUTOMATIC[0]
    monkeypatch.setattr(choice, "find_spec", lambda name: None)
    assert choose({}, None, None, 480).backbone == BUILTIN


def test_photos_and_minutes_are_all_it_takes(tmp_path: Path) -> None:
    """The photographer's case: no option but --minutes."""
    write_photos(tmp_path / "photos", 14, side=96)
    said: list[str] = []

    def listen(event: object) -> None:
        if isinstance(event, Notice):
            said.append(event.text)

    report = sightbook.train(tmp_path / "photos", tmp_path / "m", minutes=3.0, jobs=1, listener=listen)
    model = Model.open(tmp_path / "m")
    assert model.config.network["backbone"]["kind"] == BUILTIN and report.pictures == 14
    assert [text for text in said if "--backbone resnet or vit" in text]
    assert [text for text in said if "--minutes is not spent" in text]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"settings": {"backbone": "resnet"}}, "^backbone is a section of settings: .* or --backbone vit"),
        ({"settings": {"backbone": "vit"}, "method": "neighbours"}, "^backbone is a section"),
        ({"settings": {"backbone": "vit", "backbone.train": "head"}}, "^backbone is a section"),
        (
            {"settings": {"nested": [24]}, "method": "neighbours"},
            "^nested would do nothing in method neighbours",
        ),
    ],
    ids=str,
)
def test_for_photos_too_no_setting_is_lost_without_a_word(
    options: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    write_photos(tmp_path / "photos", 3, side=96)
    with pytest.raises(ConfigError, match=sentence):
        resolve(tmp_path / "photos", **options)


def test_the_settings_that_closed_form_wrote_down_are_taken_again(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 3, side=96)
    sightbook.train(tmp_path / "photos", tmp_path / "m", bits=32, settings={"strength.own": 0.2}, jobs=1)
    file = tmp_path / "m" / "train" / "config.yaml"
    again = resolve(tmp_path / "photos", config=file)
    assert dump(again) == file.read_text() and "tau" not in file.read_text()
    assert (again.method, again.bits, again.strength and again.strength.own) == ("neighbours", 32, 0.2)
    assert resolve(tmp_path / "photos", config=file, bits=64).bits == 64


def test_a_stopped_one_goes_on_with_the_same_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photos(tmp_path / "photos", 14, side=96)

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("sightbook.learn.closed.fit", stop)
        sightbook.train(tmp_path / "photos", tmp_path / "m", minutes=3.0, jobs=1)
    with pytest.raises(ConfigError, match="begun with other settings"):
        sightbook.train(tmp_path / "photos", tmp_path / "m", method="rcq", minutes=3.0, jobs=1, resume=True)
    assert (
        sightbook.train(tmp_path / "photos", tmp_path / "m", minutes=3.0, jobs=1, resume=True).pictures == 14
    )

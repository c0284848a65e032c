"""A model whose files are not what was written makes no library, no figure and no export."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sightbook.errors import ModelError
from sightbook.evaluate.run import evaluate
from sightbook.ingest.migrate import migrate
from sightbook.library.export import model_to_onnx
from sightbook.library.library import Library
from sightbook.model.config import ModelConfig
from sightbook.model.model import Model
from tests.library.pictures import fill
from tests.tiny import tiny_model


@pytest.fixture
def damaged(tmp_path: Path) -> Callable[[str], Path]:
    def damage(name: str) -> Path:
        folder = tiny_model(tmp_path / f"model without {name}")
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data)
        return folder

    return damage


@pytest.mark.parametrize("name", ["encoder.onnx", "codebooks.safetensors"])
def test_one_other_bit_is_found_before_anything_is_made(
    tmp_path: Path, damaged: Callable[[str], Path], name: str
) -> None:
    model = damaged(name)
    photos = fill(tmp_path / "photos", 12)
    labels = tmp_path / "l.csv"
    labels.write_text("file,label\n" + "".join(f"{i:03}.png,{i % 2}\n" for i in range(12)))
    says = f"{name} is not what it was: copy the model here again"
    with pytest.raises(ModelError, match=says):
        Library.open(tmp_path / "library", create_with=model)
    assert not (tmp_path / "library" / "library.json").exists()
    with Library.open(tmp_path / "other", create_with=tiny_model(tmp_path / "sound", seed=1)) as library:
        library.add(photos)
        with pytest.raises(ModelError, match=says):
            migrate(tmp_path / "other", model)
        assert len(library.search(photos / "003.png")) == 10, "and goes on as it was"
    with pytest.raises(ModelError, match=says):
        evaluate(model, "labelled", photos, labels=labels)
    with pytest.raises(ModelError, match=says):
        evaluate(tmp_path / "sound", "labelled", photos, labels=labels, against=[model])
    with pytest.raises(ModelError, match=says):
        model_to_onnx(Model.open(model), tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"M": 0}, "config.json is damaged .M is 0, no number of 1 or more.: restore it or train again"),
        ({"D": "x"}, "config.json is damaged .D is 'x', no number of 1 or more."),
        ({"K": True}, "config.json is damaged .K is True"),
        ({"files": []}, r"config.json is damaged .files is \[\], no section of facts"),
        ({"network": None}, "config.json is damaged .network is None"),
        ({"verdict": "x"}, "config.json is damaged .verdict is 'x'"),
        ({"frame": {"size": -1, "resize": 16}}, "config.json is damaged .The frame's size .-1. must be"),
    ],
)
def test_numbers_of_a_config_that_cannot_be_are_said_with_the_file(
    tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    path = tiny_model(tmp_path / "model") / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelError, match=says):
        ModelConfig.read(path.parent)


def test_a_file_that_went_after_the_model_was_opened_is_named(tmp_path: Path) -> None:
    model = Model.open(tiny_model(tmp_path / "model"))
    shutil.move(tmp_path / "model" / "encoder.onnx", tmp_path / "elsewhere")
    with pytest.raises(
        ModelError, match=r"encoder.onnx cannot be read .No such file or directory.: copy the model"
    ):
        model.copy_to(tmp_path / "copy")

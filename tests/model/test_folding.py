"""The encoder of a described model, exported: any program gets from pixels what `Model.embed` gives."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from sightbook.describe.vectors import halved
from sightbook.errors import MissingExtra, ModelError
from sightbook.library.export import model_to_onnx
from sightbook.model.graph import open_session
from sightbook.model.model import Model
from tests.tiny import tiny_described_model, tiny_model, tiny_vectors_model


@pytest.mark.parametrize("inner", ["row", "x"])
def test_pixels_give_embeddings(tmp_path: Path, inner: str) -> None:
    model = Model.open(tiny_described_model(tmp_path / "m", inner=inner), threads=1)
    model_to_onnx(model, tmp_path / "e.onnx")
    session = open_session(tmp_path / "e.onnx", 1)
    assert [output.name for output in session.get_outputs()] == ["x", "features"]
    pixels = np.random.default_rng(0).integers(0, 256, (70, 16, 16, 3), np.uint8)
    pixels[3] = 0  # no features at all
    for some in (pixels, pixels[:1]):
        x, features = session.run(["x", "features"], {"pixels": some})
        assert np.abs(x - model.embed(some)).max() < 1e-5
        assert np.abs(halved(features) - model.embed_with_features(some)[1]).max() < 1e-5
    assert [output.shape for output in session.get_outputs()] == [["N", 8], ["N", 48]]
    onnx.checker.check_model(onnx.load(tmp_path / "e.onnx"), full_check=True)


def test_an_encoder_that_gives_embeddings_is_copied(tmp_path: Path) -> None:
    model = Model.open(tiny_model(tmp_path / "m"), threads=1)
    model_to_onnx(model, tmp_path / "e.onnx")
    assert (tmp_path / "e.onnx").read_bytes() == (tmp_path / "m" / "encoder.onnx").read_bytes()


def test_a_model_of_vectors_has_no_encoder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="takes vectors and has no encoder to export"):
        model_to_onnx(Model.open(tiny_vectors_model(tmp_path / "m")), tmp_path / "e.onnx")
    assert not (tmp_path / "e.onnx").exists()


def test_without_onnx_the_install_line_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model.open(tiny_described_model(tmp_path / "m"), threads=1)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtra, match=r'pip install "sightbook\[train\]"'):
        model_to_onnx(model, tmp_path / "e.onnx")
    assert not (tmp_path / "e.onnx").exists()

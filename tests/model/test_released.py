"""Released models: opened by name, small enough to live with the program, and as good as their cards say."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

from sightbook.errors import ModelError
from sightbook.library.library import Library
from sightbook.model import released
from sightbook.model.model import Model
from tests.library.pictures import fill

FOLDER = Path(released.__file__).parent.parent / "released"


def test_there_is_one() -> None:
    assert "cifar10-64" in released.names()


@pytest.mark.parametrize("name", released.names())
def test_it_opens_by_its_name_and_fits_in_sixteen_mebibytes(name: str) -> None:
    model = Model.open(name)
    assert (model.folder, model.is_whole) == (FOLDER / name, True)
    assert sum(path.stat().st_size for path in model.folder.iterdir()) <= 16 * 2**20
    codes = model.encode(np.zeros((2, model.frame.size, model.frame.size, 3), np.uint8))
    assert codes.shape == (2, model.M) and (codes[0] == codes[1]).all()


@pytest.mark.parametrize("name", released.names())
def test_its_card_says_how_it_was_made_and_measured(name: str) -> None:
    card = (FOLDER / name / "README.md").read_text()
    config = Model.open(name).config
    assert config.fingerprint in card
    assert f"sightbook evaluate {name} --protocol" in card
    assert re.search(r"mAP@\d+ \([a-z-]+-R\), [\d,]+ queries", card)
    assert f"selection {config.selection}" in card and config.selection in {"last", "label-free"}
    assert (FOLDER / name / "recipe.yaml").is_file()


@pytest.mark.parametrize("name", released.names())
def test_its_weights_make_the_codes_of_its_encoder(name: str) -> None:
    torch = pytest.importorskip("torch")
    from sightbook.model.torch.network import PixelEncoder, load

    model = Model.open(name)
    network, config = load(model.folder)
    pixels = np.random.default_rng(0).integers(0, 256, (8, config.frame.size, config.frame.size, 3), np.uint8)
    with torch.no_grad():
        x = PixelEncoder(network.eval(), config.mean, config.std)(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(model.embed(pixels), x, atol=2e-4)


def test_a_library_is_made_with_it_and_a_folder_of_that_name_goes_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    photos = fill(tmp_path / "photos", 5)
    with Library.open(tmp_path / "library", create_with="cifar10-64") as library:
        assert library.add([photos]).added == 5
        assert library.search(photos / "003.png", k=1)[0].path == "003.png"
    (tmp_path / "cifar10-64").mkdir()
    with pytest.raises(ModelError, match="is not a sightbook model"):
        Model.open("cifar10-64")


@pytest.mark.skipif("SIGHTBOOK_DATA" not in os.environ, reason="SIGHTBOOK_DATA is not set")
def test_it_finds_the_classes_of_real_pictures() -> None:
    """2,000 test pictures as queries and collection at once: precision of the first 100, far above chance (.1)."""
    pyarrow = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.read_table(Path(os.environ["SIGHTBOOK_DATA"]) / "cifar10" / "test.parquet").slice(0, 2000)
    model = Model.open("cifar10-64")
    pixels = np.stack([model.prepare(row["bytes"]) for row in table["image"].to_pylist()])
    labels = np.array(table["label"].to_pylist())
    x = model.embed(pixels)
    tables, codes = model.tables(x[:200]), model.assign(x)
    scores = np.stack([table[np.arange(model.M), codes].sum(axis=1) for table in tables])
    precision = []
    for q, row in enumerate(scores):
        order = np.argsort(-row, kind="stable")
        order = order[order != q][:100]
        precision.append((labels[order] == labels[q]).mean())
    assert np.mean(precision) > 0.38

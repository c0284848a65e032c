"""A hit is the picture that was added: between the library and sources that were rewritten since."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightbook.errors import PictureError, SightbookError
from sightbook.images.pixels.decode import decode
from sightbook.library.library import Library
from sightbook.model.model import Model
from sightbook.present.sheet import sheet
from tests.images.pictures import encoded, gradient, write_folder, write_parquet, write_tar
from tests.tiny import tiny_model

PICTURES = {f"{n}.png": encoded(gradient(40 + n, 30, n)) for n in range(5)}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.open(tiny_model(tmp_path_factory.mktemp("model")), threads=1)


def write(kind: str, place: Path, pictures: dict[str, bytes]) -> Path:
    if kind == "tar":
        return write_tar(place / "x.tar", pictures)
    if kind == "parquet":
        return write_parquet(place / "x.parquet", list(pictures.values()))
    return write_folder(place / "photos", pictures)


@pytest.mark.parametrize("kind", ["folder", "tar", "parquet"])
def test_a_hit_of_a_rewritten_source_is_refused_and_not_another_picture(
    kind: str, tmp_path: Path, model: Model
) -> None:
    source = write(kind, tmp_path, PICTURES)
    with Library.open(tmp_path / "library", create_with=model) as library:
        library.add(source)
        hits = library.search(PICTURES["0.png"], k=5)
        read = {hit.id: hit.read() for hit in hits}
        assert sorted(read.values()) == sorted(PICTURES.values())
        names = list(PICTURES)
        write(kind, tmp_path, {name: PICTURES[names[(n + 1) % 5]] for n, name in enumerate(names)})
        for hit in hits:
            with pytest.raises(PictureError, match=r"not what it was when it was added: run `sightbook add`"):
                hit.read()
        drawn = np.asarray(Image.open(sheet(PICTURES["0.png"], hits[:1], tmp_path / "s.png")).convert("RGB"))
        cell = drawn[28:228, 276:476]
        assert np.ptp(cell[:60], axis=(0, 1)).max() < 20, "a picture is shown that is not the hit's"
        library.add(source)
        again = library.search(PICTURES["0.png"], k=5)
        assert {hit.read() for hit in again} == set(PICTURES.values())


@pytest.mark.parametrize("kind", ["folder", "tar", "parquet"])
def test_a_hit_whose_bytes_are_as_they_were_is_read_whatever_its_date(
    kind: str, tmp_path: Path, model: Model
) -> None:
    source = write(kind, tmp_path, PICTURES)
    with Library.open(tmp_path / "library", create_with=model) as library:
        library.add(source)
        hit = library.search(PICTURES["3.png"], k=1)[0]
        write(kind, tmp_path, PICTURES)
        path = source / "3.png" if kind == "folder" else source
        os.utime(path, ns=(1, 1))
        assert hit.read() == PICTURES["3.png"]


def test_a_hit_that_became_too_large_is_refused_by_its_size(tmp_path: Path, model: Model) -> None:
    source = write("folder", tmp_path, PICTURES)
    with Library.open(tmp_path / "library", create_with=model) as library:
        library.add(source)
        hit = library.search(PICTURES["3.png"], k=1)[0]
        with (source / "3.png").open("wb") as file:
            file.truncate(2_000_000_000)
        with pytest.raises(SightbookError, match="its 2000 MB are over the limit"):
            hit.read()


def test_a_record_of_cifar_has_the_bytes_that_it_has_everywhere(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No compressor makes them: its version would decide whether a picture is the one that was added."""
    pixels = np.stack([gradient(32, 32, n) for n in range(3)])
    records = b"".join(bytes([n]) + each.transpose(2, 0, 1).tobytes() for n, each in enumerate(pixels))
    batch = write_folder(tmp_path, {"data_batch_1.bin": records}) / "data_batch_1.bin"
    with Library.open(tmp_path / "library", create_with=model) as library:
        assert library.add(batch).added == 3
        monkeypatch.setattr(zlib, "compress", None)
        monkeypatch.setattr(Image.Image, "save", None)
        hit = library.search(pixels[1], k=1)[0]
        assert (hit.path, hit.digest) == ("1", "2091e2dd88fe0fd98d56ae3147d316d4")
        assert np.array_equal(decode(hit.read()), pixels[1])

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sightbook.catalogue import snapshot
from sightbook.catalogue.catalogue import Catalogue
from sightbook.catalogue.rows import PictureRow
from sightbook.images.pixels.about import About


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    opened = Catalogue.create(tmp_path / "c.sqlite", "f")
    opened.put_source("s", "folder", "/p", 0.0)
    opened.put([PictureRow("s", f"{n}", 1, 1, b"d" * 16, About(1, 1), bytes([n, 2 * n])) for n in range(50)])
    yield opened
    opened.close()


def expected(catalogue: Catalogue) -> tuple[str, list[int], bytes]:
    stamp, ids, joined = catalogue.codes()
    return stamp, list(ids), bytes(joined)


def loaded(catalogue: Catalogue, cache: Path) -> tuple[str, list[int], bytes]:
    found = snapshot.load(catalogue, cache, 2)
    assert (found.ids.dtype, found.packed.dtype, found.packed.shape) == (
        np.int64,
        np.uint8,
        (len(found.ids), 2),
    )
    return found.stamp, found.ids.tolist(), found.packed.tobytes()


def test_the_cache_gives_back_the_catalogue(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = expected(catalogue)
    assert loaded(catalogue, tmp_path / "cache") == truth
    monkeypatch.setattr(Catalogue, "codes", lambda self: pytest.fail("the rows were read"))
    assert loaded(catalogue, tmp_path / "cache") == truth


def test_a_stale_cache_is_rebuilt(catalogue: Catalogue, tmp_path: Path) -> None:
    loaded(catalogue, tmp_path / "cache")
    catalogue.remove([7])
    assert loaded(catalogue, tmp_path / "cache") == expected(catalogue)
    assert 7 not in loaded(catalogue, tmp_path / "cache")[1]


def test_a_cache_of_equal_generation_but_other_history_is_not_taken(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    other = Catalogue.create(tmp_path / "other.sqlite", "f")
    other.put_source("s", "folder", "/p", 0.0)
    other.put([PictureRow("s", "x", 1, 1, b"d" * 16, About(1, 1), b"\xff\xff")])
    assert other.stamp.split("-")[0] == catalogue.stamp.split("-")[0]
    loaded(other, tmp_path / "cache")
    other.close()
    assert loaded(catalogue, tmp_path / "cache") == expected(catalogue)


@pytest.mark.parametrize(
    "damage", ["empty", "cut", "flip first", "flip header", "flip ids", "flip codes", "text", "folder"]
)
def test_a_damaged_cache_is_rebuilt_silently(catalogue: Catalogue, tmp_path: Path, damage: str) -> None:
    truth = loaded(catalogue, tmp_path / "cache")
    file = tmp_path / "cache" / snapshot.NAME
    content = bytearray(file.read_bytes())
    place = {"flip first": 0, "flip header": 20, "flip ids": -200, "flip codes": -1}.get(damage)
    if place is not None:
        content[place] ^= 0x10
        file.write_bytes(content)
    elif damage == "folder":
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes(
            {"empty": b"", "cut": bytes(content[:-9]), "text": b"hello, this is no cache at all"}[damage]
        )
    assert loaded(catalogue, tmp_path / "cache") == truth


def test_a_cache_that_cannot_be_written_is_done_without(catalogue: Catalogue, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert loaded(catalogue, tmp_path / "cache") == expected(catalogue)

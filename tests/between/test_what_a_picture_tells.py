"""From the file to `Library.get`: by add, by the learning before the first add, by a migration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightbook.catalogue.catalogue import NAME, Catalogue
from sightbook.errors import ConfigError, LibraryError
from sightbook.images.load.loaded import Loaded, load_one
from sightbook.images.pixels.about import About
from sightbook.images.pixels.frame import Frame
from sightbook.images.pixels.guards import limits
from sightbook.images.sources import open_sources
from sightbook.ingest.migrate import migrate
from sightbook.library.care.check import check
from sightbook.library.care.salvage import salvage
from sightbook.library.library import Library
from sightbook.library.picture import PictureFacts
from sightbook.model.model import Model
from sightbook.model.seen import Seen, records
from tests.catalogue import older
from tests.images.pictures import encoded, gradient
from tests.images.test_about import HERE, exif
from tests.library.pictures import write

WHOLE = exif({0x010F: "Canon", 0x0110: "EOS R5", 0x0112: 6}, {0x9003: "2024:05:31 12:30:00"}, HERE)


def photo(seed: int = 0) -> bytes:
    return encoded(gradient(40 + seed, 30), "JPEG", exif=WHOLE)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write(tmp_path / "p" / "a" / "told.jpg", photo())
    write(tmp_path / "p" / "plain.png", encoded(gradient(20, 10), "PNG"))
    return tmp_path / "p"


def told(library: Library, path: str) -> tuple[Any, ...]:
    found = library.get(library.id_of(path))
    return found.width, found.height, found.format, found.taken, found.camera, found.orientation


TOLD = (30, 40, "jpeg", "2024-05-31T12:30:00", "Canon EOS R5", 6)


def test_a_library_tells_what_its_pictures_tell(photos: Path, place: Path, model: Model) -> None:
    with Library.open(place, create_with=model) as library:
        library.add(photos)
        source = library.status().sources[0].id
        file = photos / "a" / "told.jpg"
        id = library.id_of(file)
        assert id == library.id_of("a/told.jpg") == library.id_of((source, "a/told.jpg")) == library.id_of(id)
        assert library.get(id) == PictureFacts(
            id, source, "a/told.jpg", str(file), file.stat().st_size, *TOLD,
            latitude=pytest.approx(-33.858333), longitude=pytest.approx(151.21), metadata={},
        )  # fmt: skip
        assert library.get(id).key == (source, "a/told.jpg")
        assert told(library, "plain.png") == (20, 10, "png", None, None, None)
        hit = library.search(file, 1)[0]
        assert library.get(np.int64(hit.id)).locator == hit.locator
        with pytest.raises(LibraryError, match="holds no picture with the id 99: take ids from a search"):
            library.get(99)
        with pytest.raises(ConfigError, match="is no id"):
            library.get("a")  # type: ignore[arg-type]
        with pytest.raises(LibraryError, match="is a source in"):
            library.id_of(photos)
        with pytest.raises(LibraryError, match=r"is 2 pictures in .*: give the path of one picture"):
            library.id_of("*")
        with pytest.raises(LibraryError, match=r"nothing in .* matches 'b.jpg'"):
            library.id_of("b.jpg")


@pytest.mark.parametrize("jobs", [1, 2])
def test_processes_and_many_pictures_tell_the_same(
    tmp_path: Path, place: Path, model: Model, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sightbook.images.load.pool.FEW_BYTES", 0)
    write(tmp_path / "p" / "told.jpg", photo())
    with Library.open(place, create_with=model) as library:
        library.add(tmp_path / "p", jobs=jobs)
        assert told(library, "told.jpg") == TOLD


def test_a_picture_that_changed_is_told_anew_and_one_that_moved_as_before(
    photos: Path, place: Path, model: Model
) -> None:
    with Library.open(place, create_with=model) as library:
        library.add(photos)
        write(photos / "plain.png", encoded(gradient(22, 11), "GIF"), 1_700_000_009)
        (photos / "a" / "told.jpg").rename(photos / "moved.jpg")
        assert library.add(photos).moved == 1
        assert told(library, "moved.jpg") == TOLD
        assert told(library, "plain.png") == (22, 11, "gif", None, None, None)


def test_a_migration_and_a_salvage_keep_what_is_told_and_said(
    photos: Path, place: Path, model: Model, other_model: Model
) -> None:
    with Library.open(place, create_with=model) as library:
        library.add(photos)
        id = library.id_of("a/told.jpg")
        catalogue = Catalogue.write(place / NAME)
        catalogue.put_metadata(id, "tag", "sea")
        catalogue.connection.execute("UPDATE pictures SET camera = NULL, taken = NULL")  # as an older program
        catalogue.close()
        migrate(place, other_model, jobs=1)
        assert told(library, "a/told.jpg") == TOLD and library.get(id).metadata == {"tag": "sea"}
    assert salvage(place)[0] == 2
    with Library.open(place) as library:
        assert told(library, "a/told.jpg") == TOLD and library.get(id).metadata == {"tag": "sea"}
    assert {finding.verdict for finding in check(place)} <= {"ok", "note"}


@pytest.mark.parametrize("name", older.PLAIN)
def test_a_picture_of_an_older_library_tells_when_it_is_read_next(
    tmp_path: Path, place: Path, model: Model, name: str
) -> None:
    older.library(name, place, tmp_path / "p", model, model)
    with Library.open(place) as library:
        for _ in range(2):
            found = library.get(2)
            assert (found.path, found.width, found.height, found.format) == ("001.bmp", 20, 20, None)
            assert found.metadata == {}
            library.add(tmp_path / "p")
        write(tmp_path / "p" / "001.bmp", older.bitmap(1), 1_700_000_009)
        library.add(tmp_path / "p")
        assert (library.get(2).format, library.get(1).format) == ("bmp", None)


def test_what_was_seen_while_learning_tells_the_same(photos: Path) -> None:
    """Nothing of it is lost on the way through the records of the first `add`."""
    loaded = [
        item
        for entry in open_sources([photos]).entries()
        if isinstance(item := load_one(entry, Frame(16, 16, "bilinear"), limits()), Loaded)
    ]
    seen = Seen(np.zeros((2, 3), np.float16), records(loaded))
    known = [seen.find(item.entry) for item in loaded]
    assert [each.about for each in known if each] == [item.about for item in loaded]
    assert (
        isinstance(known[0].about if known[0] else None, About) and loaded[0].about.camera == "Canon EOS R5"
    )

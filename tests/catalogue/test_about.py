"""What is known of a picture beside its code: kept with it, gone with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from sightbook.catalogue.catalogue import NAME, Catalogue
from sightbook.catalogue.rescue import rescue
from sightbook.catalogue.rows import PictureRow
from sightbook.catalogue.soundness import faults
from sightbook.errors import ConfigError, LibraryError
from sightbook.images.pixels.about import About

SAID = About(4, 3, "jpeg", "2024-05-31T12:30:00", "Canon EOS R5", 6, -33.85, 151.21)


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    opened = Catalogue.create(tmp_path / NAME, "f")
    for source in "st":
        opened.put_source(source, "folder", f"/{source}", 1.0)
    opened.put([row("a.jpg", SAID), row("b.jpg", About(1, 2)), row("a.jpg", About(5, 6), "t")])
    yield opened
    opened.close()


def row(path: str, about: About, source: str = "s") -> PictureRow:
    return PictureRow(source, path, 10, 20, bytes(16), about, b"\1\2")


def test_what_a_picture_tells_comes_back(catalogue: Catalogue) -> None:
    assert catalogue.about([1, 2, 99]) == {1: (10, SAID), 2: (10, About(1, 2))}


def test_another_reading_tells_all_anew(catalogue: Catalogue) -> None:
    catalogue.put([row("a.jpg", About(7, 8, "png"))])
    assert catalogue.about([1]) == {1: (10, About(7, 8, "png"))}


def test_metadata_is_said_replaced_and_taken_back(catalogue: Catalogue) -> None:
    stamp = catalogue.stamp
    for key, value in (("tag", "sea"), ("stars", 4), ("sharp", 0.5), ("tag", "beach")):
        catalogue.put_metadata(1, key, value)
    assert catalogue.metadata(1) == {"sharp": 0.5, "stars": 4, "tag": "beach"}
    assert catalogue.metadata(2) == {}
    assert [catalogue.remove_metadata(1, "stars") for _ in range(2)] == [True, False]
    assert catalogue.metadata(1) == {"sharp": 0.5, "tag": "beach"}
    assert catalogue.stamp == stamp, "no code has changed, so no engine is made anew"


@pytest.mark.parametrize("value", [True, None, b"x", 2**63, float("nan"), "a\0b", ["x"]])
def test_what_is_no_value_is_refused(catalogue: Catalogue, value: object) -> None:
    with pytest.raises(ConfigError, match="give a text without null characters, or a finite number"):
        catalogue.put_metadata(1, "key", value)  # type: ignore[arg-type]
    assert catalogue.metadata(1) == {}


def test_an_id_that_is_not_there_is_refused(catalogue: Catalogue) -> None:
    with pytest.raises(LibraryError, match="no picture has the id 99"):
        catalogue.put_metadata(99, "tag", "sea")
    with pytest.raises(LibraryError, match="no picture has the id 99"):
        catalogue.put_descriptions([(1, "face", b"x"), (99, "face", b"y")])
    assert catalogue.descriptions(1) == {}


def test_descriptions_are_kept_by_name(catalogue: Catalogue) -> None:
    catalogue.put_descriptions([(1, "face", b"x"), (1, "words", b"y"), (2, "face", b"z"), (1, "face", b"w")])
    assert catalogue.descriptions(1) == {"face": b"w", "words": b"y"}
    assert [catalogue.remove_descriptions("face") for _ in range(2)] == [2, 0]
    assert catalogue.descriptions(1) == {"words": b"y"}


@pytest.mark.parametrize("how", ["by id", "by source", "as a double"])
def test_they_go_with_the_picture_and_stay_with_a_changed_or_moved_one(
    catalogue: Catalogue, how: str
) -> None:
    for id in (1, 2, 3):
        catalogue.put_metadata(id, "tag", str(id))
    catalogue.put_descriptions([(id, "face", b"x") for id in (1, 2, 3)])
    catalogue.put([row("a.jpg", About(9, 9))])
    if how == "by id":
        assert catalogue.remove([1]) == 1, "pictures are counted, not what goes with them"
    elif how == "by source":
        assert catalogue.remove([], (), ["t"]) == 1
    else:
        catalogue.take_over("t", "s", rekeyed=[(2, "moved.jpg")], doubles=[1], failures=[])
    gone = 3 if how == "by source" else 1
    for id in (1, 2, 3):
        assert catalogue.metadata(id) == ({} if id == gone else {"tag": str(id)})
        assert catalogue.descriptions(id) == ({} if id == gone else {"face": b"x"})
    strays = "SELECT count(*) FROM metadata WHERE picture NOT IN (SELECT id FROM pictures)"
    assert catalogue.connection.execute(strays).fetchone() == (0,)


def test_missing_pictures_are_found_without_looking_at_all_others(catalogue: Catalogue) -> None:
    statement = "SELECT id, source, path, size, digest FROM pictures WHERE state = 1 ORDER BY +id"
    plan = " ".join(row[3] for row in catalogue.connection.execute(f"EXPLAIN QUERY PLAN {statement}"))
    assert "missing_by_content" in plan


def test_a_salvaged_catalogue_has_them_all(catalogue: Catalogue, tmp_path: Path) -> None:
    catalogue.put_metadata(1, "tag", "sea")
    catalogue.put_descriptions([(2, "face", b"x")])
    catalogue.connection.execute("INSERT INTO metadata VALUES (99, 'tag', 'of nothing')")
    target = Catalogue.create(tmp_path / "fresh.sqlite", "f")
    counts = rescue(tmp_path / NAME, target, 2)
    assert counts["pictures"] == 3
    assert target.about([1, 2, 3]) == catalogue.about([1, 2, 3])
    assert (target.metadata(1), target.descriptions(2)) == ({"tag": "sea"}, {"face": b"x"})
    assert target.metadata(99) == {} and faults(target) == []
    target.close()


def test_a_damaged_catalogue_of_an_older_version_is_salvaged_too(tmp_path: Path) -> None:
    from tests.catalogue import older

    older.catalogue("1-first", tmp_path / NAME)
    target = Catalogue.create(tmp_path / "fresh.sqlite", "f")
    assert rescue(tmp_path / NAME, target, 2)["pictures"] == 4
    assert target.about([1]) == {1: (1254, About(20, 20))} and len(target.failures()) == 1
    target.close()
    with sqlite3.connect(tmp_path / NAME) as damaged:
        assert damaged.execute("PRAGMA user_version").fetchone() == (1,)

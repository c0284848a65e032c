"""`check`, `salvage`, `compact`: what is derivable is repaired, what is damaged is said, and what can be is saved."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from sightbook.catalogue import snapshot
from sightbook.catalogue.catalogue import NAME, Catalogue
from sightbook.catalogue.lock import writer_lock
from sightbook.catalogue.rows import PictureRow
from sightbook.errors import LibraryError
from sightbook.images.pixels.about import About
from sightbook.library.care.check import check
from sightbook.library.care.compact import compact
from sightbook.library.care.salvage import salvage
from sightbook.library.library import Library
from sightbook.model.model import Model
from tests.library.held import catalogue_of, held, ids
from tests.library.pictures import content, fill, picture, write


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return fill(tmp_path / "p", 8)


@pytest.fixture
def library(photos: Path, place: Path, model: Model) -> Path:
    with Library.open(place, create_with=model) as made:
        made.add([photos])
        made.search(photos / "000.png")
    return place


def verdicts(place: Path) -> dict[str, str]:
    return {finding.what: finding.verdict for finding in check(place)}


SOUND = {"model": "ok", "library.json": "ok", "catalogue": "ok", "cache": "ok", "source": "ok"}


def test_a_sound_library_is_sound(library: Path) -> None:
    assert verdicts(library) == SOUND
    assert [finding.text for finding in check(library) if finding.what == "catalogue"] == ["8 pictures"]


@pytest.mark.parametrize(
    "damage", ["truncated", "flipped", "of another state", "deleted", "a folder of rubbish"]
)
def test_a_bad_cache_is_made_anew(library: Path, photos: Path, damage: str) -> None:
    cache = library / "cache" / "codes.bin"
    sound = cache.read_bytes()
    if damage == "truncated":
        cache.write_bytes(sound[:-5])
    elif damage == "flipped":
        cache.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    elif damage == "of another state":
        with Library.open(library) as opened:
            opened.remove(1)
    elif damage == "deleted":
        shutil.rmtree(library / "cache")
    else:
        cache.write_bytes(os.urandom(999))
    with Library.open(library) as opened:
        assert opened.search(photos / "003.png", 1)[0].path == "003.png", "searching does not even notice"
    assert verdicts(library) == SOUND
    assert cache.read_bytes()[:8] == sound[:8]


def test_a_cache_that_lies_is_found_out(library: Path) -> None:
    """Sound by its checksum and of the right state, but not what the catalogue says."""
    with Library.open(library) as opened, catalogue_of(opened) as catalogue:
        found = snapshot.load(catalogue, library / "cache", opened.facts.code_bytes)
    lie = snapshot.Snapshot(found.stamp, found.ids, found.packed[::-1].copy())
    snapshot.write(library / "cache" / snapshot.NAME, lie)
    assert verdicts(library)["cache"] == "repaired"
    assert verdicts(library) == SOUND


def test_changed_missing_and_absent_sources_are_named(library: Path, photos: Path, tmp_path: Path) -> None:
    write(photos / "001.png", picture(90), time=1_700_000_009)
    (photos / "002.png").unlink()
    (note,) = [finding for finding in check(library) if finding.what == "source"]
    assert note.verdict == "note"
    assert "2 pictures changed or went since the last `sightbook add` (001.png, 002.png)" in note.text
    photos.rename(tmp_path / "gone")
    (note,) = [finding for finding in check(library) if finding.what == "source"]
    assert note.verdict == "note" and "is not there now: 8 pictures can be found, not shown" in note.text


def test_leftovers_are_cleared_and_the_writer_is_respected(library: Path) -> None:
    (library / ".model.abc").mkdir()
    (library / ".library.json.xyz").write_text("{")
    (library / "cache" / ".codes.bin.q").write_bytes(b"1")
    (first, *_) = check(library)
    assert (first.verdict, first.text) == ("repaired", "3 leftovers of an interrupted writer were removed")
    assert verdicts(library) == SOUND
    with writer_lock(library), pytest.raises(LibraryError, match="is being written by process"):
        check(library)


def test_another_or_a_damaged_model_is_said(library: Path, other_model: Model) -> None:
    encoder = library / "model" / "encoder.onnx"
    sound = encoder.read_bytes()
    encoder.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    (finding,) = [finding for finding in check(library) if finding.verdict == "broken"]
    assert "encoder.onnx is not what it was: copy the model here again" in finding.text
    shutil.rmtree(library / "model")
    other_model.copy_to(library / "model")
    assert "is another model than library.json names" in " ".join(f.text for f in check(library))


@pytest.mark.parametrize("column", ["code = x'00'", "code = 'ab'", "state = 7", "digest = x'01'"])
def test_rows_that_cannot_be_are_found(library: Path, column: str) -> None:
    catalogue = Catalogue.write(library / NAME)
    catalogue.connection.execute(f"UPDATE pictures SET {column} WHERE id = 3")
    catalogue.close()
    (finding,) = [finding for finding in check(library) if finding.verdict == "broken"]
    assert "1 pictures have" in finding.text and "--salvage" in finding.text
    assert salvage(library) == (7, 0)
    assert verdicts(library) == SOUND, "and what the advice leads to is sound"


def big(place: Path, model: Model, count: int = 3000) -> dict[int, bytes]:
    """A library of made-up rows: codes by id."""
    random = np.random.default_rng(0)
    with Library.open(place, create_with=model) as library:
        size = library.facts.code_bytes
        catalogue = Catalogue.write(place / NAME)
        catalogue.put_source("s", "folder", str(place.parent / "p"), 1.0)
        rows = [
            PictureRow("s", f"{n:05}.png", 9, 9, random.bytes(16), About(5, 5), random.bytes(size))
            for n in range(count)
        ]
        catalogue.put(rows)
        catalogue.close()
    return {n + 1: row.code for n, row in enumerate(rows)}


def test_what_can_be_read_of_a_damaged_catalogue_is_saved(tmp_path: Path, place: Path, model: Model) -> None:
    codes = big(place, model)
    path = place / NAME
    damaged = bytearray(path.read_bytes())
    for page in (30, 41):  # two pages in the middle of the rows
        damaged[page * 4096 : (page + 1) * 4096] = os.urandom(4096)
    path.write_bytes(damaged)
    (finding,) = [finding for finding in check(place) if finding.verdict == "broken"]
    assert finding.what == "catalogue" and "is damaged" in finding.text and "--salvage" in finding.text
    pictures, failures = salvage(place)
    assert 2500 < pictures < 3000 and failures == 0
    with Library.open(place) as library:
        with catalogue_of(library) as catalogue:
            rows = dict(catalogue.connection.execute("SELECT id, code FROM pictures").fetchall())
        assert all(codes[id] == code for id, code in rows.items()) and len(rows) == pictures
        assert len(library) == pictures
    assert {finding.what: finding.verdict for finding in check(place)}["catalogue"] == "ok"
    assert len(list(place.glob("catalogue.damaged-*.sqlite"))) == 1, "the damaged one is kept"
    catalogue = Catalogue.write(path)
    catalogue.put([PictureRow("s", "new.png", 1, 1, bytes(16), About(1, 1), codes[1])])
    assert catalogue.known("s")["new.png"].id == 3001, "no id is given twice"
    catalogue.close()


def test_damaged_ones_of_one_second_are_all_kept(
    tmp_path: Path, place: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    big(place, model)
    monkeypatch.setattr(time, "strftime", lambda text, *_: "20261128-120000")
    kept = []
    for page in (30, 41, 45):
        damaged = bytearray((place / NAME).read_bytes())
        damaged[page * 4096 : (page + 1) * 4096] = bytes(4096)
        (place / NAME).write_bytes(damaged)
        kept.append(bytes(damaged))
        salvage(place)
    found = [path.read_bytes() for path in sorted(place.glob("catalogue.damaged-*.sqlite"))]
    assert sorted(found) == sorted(kept)


@pytest.mark.parametrize("stop", ["copyfile", "replace"])
def test_a_salvage_that_is_killed_leaves_the_library_as_it_was(
    library: Path, photos: Path, stop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = Catalogue.write(library / NAME)
    catalogue.connection.execute("UPDATE pictures SET code = x'00' WHERE id = 2")
    catalogue.close()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil if stop == "copyfile" else Path, stop, killed)
        with pytest.raises(KeyboardInterrupt):
            salvage(library)
    assert (library / NAME).exists()
    assert salvage(library) == (7, 0)
    with Library.open(library) as opened:
        assert len(opened) == 7


def test_a_salvaged_library_is_completed_by_the_next_add(library: Path, photos: Path, model: Model) -> None:
    with Library.open(library) as opened:
        before = ids(opened)
    catalogue = Catalogue.write(library / NAME)
    catalogue.connection.execute("UPDATE pictures SET code = x'00' WHERE id IN (2, 5)")
    catalogue.close()
    name = Library.open(library).status().model
    assert salvage(library) == (6, 0)
    with Library.open(library) as opened:
        assert name and opened.status().model == name
        report = opened.add([photos])
        assert (report.added, report.unchanged) == (2, 6)
        assert held(opened) == content(photos, model)
        assert {path for path, id in ids(opened).items() if before[path] == id} == set(before) - {
            "001.png",
            "004.png",
        }


def test_a_salvaged_library_knows_who_read_it_and_what_its_model_is_called(
    library: Path, photos: Path, model: Model
) -> None:
    (photos / "bad.jpg").write_bytes(b"no picture")
    with Library.open(library) as opened:
        opened.add(photos)
        before = opened.status()
    assert salvage(library) == (8, 1)
    with Library.open(library) as opened:
        said: list[str] = []
        report = opened.add(photos, listener=lambda event: said.append(getattr(event, "text", "")))
        assert (report.unchanged, report.failed, report.known_failures) == (8, [], 1)
        assert not any(said), "nothing was read by an older version, nor tried again"
        assert opened.status().model == before.model == model.folder.name


def test_what_is_no_database_any_more_cannot_be_salvaged(library: Path) -> None:
    rubbish = os.urandom(50_000)
    (library / NAME).write_bytes(rubbish)
    assert verdicts(library)["catalogue"] == "broken"
    with pytest.raises(LibraryError, match="nothing can be read of"):
        salvage(library)
    assert (library / NAME).read_bytes() == rubbish, "it is left as it was"
    assert not list(library.glob(".catalogue*"))


def test_compacting_gives_space_back_and_changes_no_answer(tmp_path: Path, place: Path, model: Model) -> None:
    big(place, model, 5000)
    with Library.open(place) as library:
        library.remove(list(range(1, 4500)))
        x = np.random.default_rng(1).normal(size=(3, model.D)).astype(np.float32)
        before = [(hit.id, hit.raw) for hit in library.search_embeddings(x, 20)]
        sizes = compact(place)
        assert sizes[1] < sizes[0] / 2
        assert [(hit.id, hit.raw) for hit in library.search_embeddings(x, 20)] == before, "while it is open"
    assert verdicts(place)["catalogue"] == "ok"
    with Library.open(place) as library:
        assert [(hit.id, hit.raw) for hit in library.search_embeddings(x, 20)] == before


def test_what_is_no_library_is_said(tmp_path: Path) -> None:
    for look in (check, compact):
        with pytest.raises(LibraryError, match="there is no library at"):
            look(tmp_path / "nowhere")

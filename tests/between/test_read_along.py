"""Readers beside a writer, a migration, a lost right, between any two of their steps: every answer is of one state."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import faiss
import numpy as np
import pyarrow.parquet as pq
import pytest

from sightbook.catalogue import database
from sightbook.catalogue.catalogue import Catalogue
from sightbook.errors import LibraryError
from sightbook.ingest.migrate import migrate
from sightbook.library import export
from sightbook.library.care import check as checking
from sightbook.library.library import Library
from sightbook.model.model import Model
from tests.library.held import catalogue_of
from tests.library.pictures import fill, picture

_SIDES = ("-wal", "-shm")


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that every user may look into."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def another_user() -> Iterator[None]:
    """What happens inside may not write what root owns."""
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def ids(library: Library, seed: int = 0) -> set[int]:
    return {hit.id for hit in library.search(picture(seed), 1000)}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs a second user")
@pytest.mark.parametrize("owner_stays", [False, True])
def test_who_may_only_read_sees_what_the_owner_adds(shared: Path, model: Model, owner_stays: bool) -> None:
    photos = fill(shared / "photos", 5)
    owner = Library.open(shared / "library", create_with=model)
    owner.add([photos])
    if not owner_stays:
        owner.close()
    with another_user():
        other = Library.open(shared / "library")
        assert len(ids(other)) == 5
    for count in (9, 14):
        fill(photos, count)
        with Library.open(shared / "library") as writing:
            writing.add([photos])
            with another_user():
                assert len(other) == count and len(ids(other)) == count, "while the owner has it open"
        with another_user():
            assert len(ids(other)) == count, "and afterwards"
    with Library.open(shared / "library") as writing:
        writing.remove(1)
        with another_user():
            assert 1 not in ids(other)
            assert {verdict.verdict for verdict in checking.check(shared / "library")} <= {"ok", "note"}


def denied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opens as SQLite does for who may not write: only while the side files of a writer are there."""
    real = database.probe

    def probe(path: Path, mode: str) -> sqlite3.Connection:
        if mode == "mode=rw" and not all(Path(f"{path}{side}").exists() for side in _SIDES):
            error = sqlite3.OperationalError("unable to open database file")
            error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
            raise error
        return real(path, mode)

    monkeypatch.setattr(database, "probe", probe)


def test_a_writer_that_comes_into_an_immutable_reading_costs_another_one(
    tmp_path: Path, place: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Library.open(place, create_with=model) as library:
        library.add([fill(tmp_path / "p", 6)])
    denied(monkeypatch)
    opened = Catalogue.read(place / "catalogue.sqlite")
    writers = iter([1, 2])
    readings = []

    def read() -> tuple[int, int]:
        before = len(opened.codes()[1])
        readings.append(before)
        if (id := next(writers, None)) is not None:  # between two steps, and it is gone again
            with closing(Catalogue.write(place / "catalogue.sqlite")) as writer:
                writer.remove([id])
        return before, len(opened.codes()[1])

    assert opened.steadily(read) == (4, 4)
    assert readings == [6, 5, 4]
    opened.close()


def test_a_copy_in_memory_is_made_anew_when_the_files_change(
    tmp_path: Path, place: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Library.open(place, create_with=model) as library:
        library.add([fill(tmp_path / "p", 6)])
        writer = Catalogue.write(place / "catalogue.sqlite")
        with catalogue_of(library) as reader:  # keeps the -wal from being emptied
            reader.stand_still()
            before = reader.stamp
            writer.remove([1])
            crashed = place.with_name("crashed")
            shutil.copytree(place, crashed)
            writer.remove([2])
            again = place.with_name("again")
            shutil.copytree(place, again)
            assert reader.stamp == before
        writer.close()
    for copy in (crashed, again):
        (copy / "catalogue.sqlite-shm").unlink()
    denied(monkeypatch)
    with Library.open(crashed) as library:
        assert ids(library) == {2, 3, 4, 5, 6}
        for name in ("catalogue.sqlite", "catalogue.sqlite-wal"):
            shutil.copy(again / name, crashed / name)
        assert ids(library) == {3, 4, 5, 6}


@pytest.fixture
def library(tmp_path: Path, place: Path, model: Model) -> Iterator[Library]:
    with Library.open(place, create_with=model) as library:
        library.add([fill(tmp_path / "photos", 12)])
        yield library


def later(method: str, step: int, act: Callable[[], object]) -> pytest.MonkeyPatch:
    """Does `act` once, before the `step`th call of a reading method of the catalogue."""
    patch = pytest.MonkeyPatch()
    real, calls = getattr(Catalogue, method), [0]
    function = real.fget if isinstance(real, property) else real

    def injected(self: Catalogue, *arguments: object, **options: object) -> object:
        calls[0] += 1
        if calls[0] == step:
            patch.undo()
            act()
        return function(self, *arguments, **options)

    patch.setattr(Catalogue, method, property(injected) if isinstance(real, property) else injected)
    return patch


def finds_itself(index: faiss.Index, model: Model, id: int, seed: int) -> bool:
    x = model.embed(model.prepare(picture(seed))[None])
    scores, found = index.search(x, len(range(12)))
    return id in found[0][scores[0] == scores[0].max()]


_STEPS = [
    ("fingerprint", 1),
    ("fingerprint", 2),
    ("fine", 1),
    ("stamp", 1),
    ("page", 1),
    ("page", 2),
    ("page", 4),
]


@pytest.mark.parametrize(("method", "step"), _STEPS)
def test_an_export_into_which_a_migration_lands_is_of_one_model(
    library: Library, tmp_path: Path, other_model: Model, method: str, step: int
) -> None:
    expected = {}
    for model in (library.model, other_model):
        packed = model.pack(
            np.concatenate([model.encode(model.prepare(picture(n))[None]) for n in range(12)])
        )
        expected[model.fingerprint] = [row.tobytes() for row in packed]
    library.search(picture(0))
    patch = later(method, step, lambda: migrate(library.path, other_model))
    patch.setattr(export, "ROWS", 4)
    try:
        assert export.to_parquet(library, tmp_path / "out.parquet") == 12
    finally:
        patch.undo()
    table = pq.read_table(tmp_path / "out.parquet")
    fingerprint = table.schema.metadata[b"sightbook.fingerprint"].decode()
    assert table["code"].to_pylist() == expected[fingerprint]


@pytest.mark.parametrize(
    ("method", "step"), [("fingerprint", 1), ("fingerprint", 2), ("stamp", 1), ("codes", 1)]
)
def test_a_faiss_index_into_which_a_migration_lands_finds_every_picture(
    library: Library, tmp_path: Path, other_model: Model, method: str, step: int
) -> None:
    old = library.model
    patch = later(method, step, lambda: migrate(library.path, other_model))
    try:
        assert export.to_faiss(library, tmp_path / "out.faiss") == 12
    finally:
        patch.undo()
    index = faiss.read_index(str(tmp_path / "out.faiss"))
    assert any(
        all(finds_itself(index, model, seed + 1, seed) for seed in range(12)) for model in (old, other_model)
    )


def test_rows_are_of_the_state_in_which_they_were_begun(library: Library) -> None:
    pages = library.rows(5)
    first = next(pages)
    library.remove([1, 7])
    rest = [row for page in pages for row in page]
    assert [row[0] for row in (*first, *rest)] == list(range(1, 13))
    assert [row[0] for page in library.rows(5) for row in page] == [2, 3, 4, 5, 6, *range(8, 13)]


@pytest.mark.parametrize(("method", "step"), [("known", 1), ("keys", 1), ("sources", 2), ("sources", 3)])
def test_a_dry_run_into_which_a_removal_falls_is_of_the_state_before(
    library: Library, tmp_path: Path, method: str, step: int
) -> None:
    (tmp_path / "photos" / "001.png").unlink()
    patch = later(method, step, lambda: library.remove(2))
    try:
        plan = Library.plan(library.path, tmp_path / "photos")
    finally:
        patch.undo()
    assert (plan.missing, plan.unchanged) == ([str(tmp_path / "photos" / "001.png")], 11)
    plan = Library.plan(library.path, tmp_path / "photos")
    assert (plan.missing, plan.unchanged) == ([], 11)


def test_a_folder_that_a_writer_takes_away_costs_no_status(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `model.new` at the end of a migration, between the look at its parent and the one into it."""
    fill(library.path / "model.new" / "inner", 1)
    real = os.scandir

    def vanishing(path: str) -> object:
        if str(path).endswith("model.new"):
            shutil.rmtree(library.path / "model.new")
        return real(path)

    whole = library.status().bytes
    monkeypatch.setattr(os, "scandir", vanishing)
    assert 0 < library.status().bytes < whole
    monkeypatch.undo()
    assert not (library.path / "model.new").exists()


@pytest.mark.parametrize("step", range(1, 9))
def test_searches_status_and_codes_hold_when_a_migration_lands_anywhere(
    library: Library, other_model: Model, step: int
) -> None:
    for read in (
        lambda: [hit.id for hit in library.search(picture(3), 1)],
        lambda: library.status().fingerprint == library.model.fingerprint and [4],
        lambda: [4] if library.codes()[1].shape == (12, library.facts.code_bytes) else [],
    ):
        target = other_model if library.model.fingerprint != other_model.fingerprint else None
        if target is None:
            return
        patch = later("fingerprint", step, lambda: migrate(library.path, target))  # noqa: B023
        try:
            assert read() == [4]
        finally:
            patch.undo()


def test_a_rewritten_catalogue_is_seen_by_who_has_it_open(library: Library) -> None:
    copy = library.path.with_name("copy")
    shutil.copytree(library.path, copy)
    with Library.open(copy) as other:
        other.remove([1])
    assert len(ids(library)) == 12
    for side in _SIDES:  # as `check --salvage` does
        Path(f"{library.path / 'catalogue.sqlite'}{side}").unlink()
    (copy / "catalogue.sqlite").replace(library.path / "catalogue.sqlite")
    assert 1 not in ids(library)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs a second user")
@pytest.mark.parametrize("call", ["open", "make", "plan"])
def test_a_folder_that_may_not_be_entered_is_a_sentence(shared: Path, model: Model, call: str) -> None:
    with Library.open(shared / "library", create_with=model) as owner:
        owner.add([fill(shared / "photos", 3)])
    (shared / "library").chmod(0o700)
    with another_user(), pytest.raises(LibraryError, match=r"library\.json"):
        if call == "plan":
            Library.plan(shared / "library", shared / "photos")
        else:
            Library.open(shared / "library", create_with=model if call == "make" else None)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs a second user")
def test_a_right_that_is_lost_between_two_readings_is_a_sentence(shared: Path, model: Model) -> None:
    with Library.open(shared / "library", create_with=model) as owner:
        owner.add([fill(shared / "photos", 3)])
    with another_user():
        other = Library.open(shared / "library")
        assert len(ids(other)) == 3
    (shared / "library" / "catalogue.sqlite").chmod(0o600)
    with Library.open(shared / "library") as owner:
        owner.remove([1])
    with another_user(), pytest.raises(LibraryError, match="check that it exists and that you may read it"):
        ids(other)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs a second user")
@pytest.mark.parametrize("cache", ["as it was", "none", "stale"])
def test_a_library_on_a_read_only_disk_is_checked(shared: Path, model: Model, cache: str) -> None:
    with Library.open(shared / "library", create_with=model) as owner:
        owner.add([fill(shared / "photos", 3)])
        owner.search(picture(0))
        if cache == "stale":
            owner.remove([1])
    if cache == "none":
        shutil.rmtree(shared / "library" / "cache")
    names = sorted(shared.rglob("*"))
    with another_user():
        found = {each.what: each for each in checking.check(shared / "library")}
    assert found["folder"].text == (
        "it cannot be written from here (read-only disk, or no right to): nothing was repaired"
    )
    assert found["cache"].verdict == ("ok" if cache == "as it was" else "note")
    assert {each.verdict for each in found.values()} <= {"ok", "note"}
    assert sorted(shared.rglob("*")) == names

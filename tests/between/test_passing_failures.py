"""Failures whose reason may pass are tried again by themselves; those that lie in the file stay."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from sightbook.images.kinds import folder
from sightbook.images.load import apart, loaded
from sightbook.ingest import passing
from sightbook.ingest.migrate import migrate
from sightbook.library.library import Library
from sightbook.model.model import Model
from tests.library.pictures import fill, write


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return fill(tmp_path / "photos", 3)


@pytest.fixture
def library(place: Path, model: Model) -> Library:
    return Library.open(place, create_with=model)


def once(monkeypatch: pytest.MonkeyPatch, error: Exception, where: str) -> pytest.MonkeyPatch:
    """Reading or decoding raises `error` until undone."""
    patch = pytest.MonkeyPatch()

    def fails(*_: object, **__: object) -> object:
        raise error

    if where == "read":
        patch.setattr(folder, "open", fails, raising=False)
    else:
        patch.setattr(loaded, "frame_apart", fails)
    return patch


@pytest.mark.parametrize(
    ("error", "where"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), "read"),
        (OSError(errno.EIO, "Input/output error"), "read"),
        (OSError(errno.EMFILE, "Too many open files"), "read"),
        (MemoryError(), "decode"),
        (MemoryError(), "read"),
    ],
)
def test_what_failed_in_a_bad_moment_is_read_by_the_next_add(
    library: Library, photos: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, where: str
) -> None:
    patch = once(monkeypatch, error, where)
    try:
        for _ in range(2):
            report = library.add([photos], jobs=1)
            assert (len(report.failed), report.added, report.known_failures) == (3, 0, 0)
    finally:
        patch.undo()
    report = library.add([photos])
    assert (report.added, report.failed) == (3, []) and library.failures() == []


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_a_decoder_that_was_killed_is_no_fault_of_the_picture() -> None:
    assert passing.is_passing("the process decoding it died (SIGKILL)")
    assert not passing.is_passing("the process decoding it died (SIGSEGV)")


def test_what_lies_in_the_file_stays_until_it_changes_or_is_asked_for(library: Library, photos: Path) -> None:
    write(photos / "broken.png", b"\x89PNG no picture")
    (photos / "empty.png").touch()
    assert len(library.add([photos]).failed) == 2
    for _ in range(2):
        report = library.add([photos])
        assert (report.known_failures, report.failed) == (2, [])
    assert len(library.add([photos], retry=True).failed) == 2
    write(photos / "broken.png", (photos / "000.png").read_bytes())
    report = library.add([photos])
    assert (report.added, report.known_failures) == (1, 1)


def test_an_extra_that_was_installed_since_reads_what_failed_for_want_of_it(
    library: Library, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.open(photos / "000.png")).save(photos / "x.heic")
    with pytest.MonkeyPatch.context() as without:
        without.setitem(sys.modules, "pillow_heif", None)
        without.setattr(apart, "RISKY", ())  # else another process decodes it, which has the module
        without.setattr(passing, "reader", lambda: "no pillow_heif")
        for module in ("scan", "add"):
            without.setattr(f"sightbook.ingest.{module}.reader", lambda: "no pillow_heif")
        assert len(library.add([photos], jobs=1).failed) == 1
        assert library.add([photos], jobs=1).known_failures == 1
    report = library.add([photos])
    assert (report.added, report.failed, report.known_failures) == (1, [], 0)


def test_another_version_tries_each_failure_once(
    library: Library, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(photos / "broken.png", b"\x89PNG no picture")
    other = fill(photos.parent / "other", 1, first=9)
    write(other / "broken.png", b"\x89PNG no picture either")
    library.add([photos, other])
    for module in ("scan", "add"):
        monkeypatch.setattr(f"sightbook.ingest.{module}.reader", lambda: "a newer one")
    assert [len(library.add([photos]).failed) for _ in range(2)] == [1, 0]
    assert [len(library.add([other]).failed) for _ in range(2)] == [1, 0], "each source by itself"


def test_a_library_of_an_older_program_has_its_failures_tried_once(library: Library, photos: Path) -> None:
    write(photos / "broken.png", b"\x89PNG no picture")
    library.add([photos])
    from sightbook.catalogue.catalogue import NAME, Catalogue

    older = Catalogue.write(library.path / NAME)
    older.connection.execute("DELETE FROM meta WHERE key LIKE 'reader %'")
    older.close()
    assert [len(library.add([photos]).failed) for _ in range(2)] == [1, 0]


def test_what_failed_in_a_migration_for_a_moment_is_read_by_the_next_add(
    library: Library, photos: Path, other_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.add([photos])
    patch = once(monkeypatch, OSError(errno.EIO, "Input/output error"), "read")
    try:
        assert migrate(library.path, other_model, jobs=1).failed == 3
    finally:
        patch.undo()
    assert len(library) == 0
    report = library.add([photos])
    assert (report.unchanged, report.failed) == (3, []) and len(library) == 3

"""`add` as a synchronization: moved, missing and pruned pictures, what is left out, and what would be done."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

import pytest

from sightbook.errors import LibraryError, SourceError
from sightbook.images.entry import Entry
from sightbook.images.exclude import Excludes, within
from sightbook.images.left_out import ignore
from sightbook.library.library import Library
from sightbook.model.model import Model
from tests.library.held import held, ids
from tests.library.pictures import content, fill, picture, write


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return fill(tmp_path / "Fotos – alle", 6)


@pytest.fixture
def library(photos: Path, place: Path, model: Model) -> Library:
    made = Library.open(place, create_with=model)
    made.add([photos])
    return made


def test_a_renamed_picture_keeps_its_id_and_is_not_decoded(
    library: Library, photos: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ids(library)
    (photos / "neu").mkdir()
    (photos / "001.png").rename(photos / "neu" / "ünï.png")
    (photos / "004.png").rename(photos / "z.png")

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a picture was decoded")

    monkeypatch.setattr("sightbook.model.encode.encode", forbidden)
    report = library.add([photos])
    assert (report.moved, report.added, report.unchanged, report.missing) == (2, 0, 4, 0)
    after = ids(library)
    assert (after["neu/ünï.png"], after["z.png"]) == (before["001.png"], before["004.png"])
    assert held(library) == content(photos, model)
    hits = library.search(photos / "z.png", 1)
    assert (hits[0].id, hits[0].path) == (before["004.png"], "z.png")
    assert library.add([photos]).unchanged == 6


def test_a_picture_moved_later_or_into_another_source_is_recognized(
    library: Library, photos: Path, model: Model, tmp_path: Path
) -> None:
    before = ids(library)
    other = fill(tmp_path / "other", 1, first=50)
    library.add([other])
    (photos / "002.png").rename(tmp_path / "kept.png")
    assert library.add([photos]).missing == 1
    (tmp_path / "kept.png").rename(other / "here now.png")
    report = library.add([other])
    assert (report.moved, report.added, report.missing) == (1, 0, 0)
    assert ids(library)["here now.png"] == before["002.png"]
    assert library.status().missing == 0


def test_equal_files_are_told_apart_and_a_copy_is_new(library: Library, photos: Path, model: Model) -> None:
    before = ids(library)
    shutil.copy(photos / "003.png", photos / "copy.png")
    assert library.add([photos]).added == 1, "the original is there, so nothing was moved"
    copy = ids(library)["copy.png"]
    for old, new in (("003.png", "a.png"), ("copy.png", "b.png")):
        (photos / old).rename(photos / new)
    report = library.add([photos])
    assert (report.moved, report.added, report.missing) == (2, 0, 0)
    after = ids(library)
    assert {after["a.png"], after["b.png"]} == {before["003.png"], copy}
    assert held(library) == content(photos, model)


def test_a_file_of_the_same_size_with_other_content_is_not_moved(
    library: Library, photos: Path, model: Model
) -> None:
    size = (photos / "000.png").stat().st_size
    (photos / "000.png").unlink()
    write(photos / "fake.png", b"\x89PNG" + bytes(size - 4))
    write(photos / "real.png", picture(99))
    report = library.add([photos])
    assert (report.moved, report.added, len(report.failed), report.missing) == (0, 1, 1, 1)
    assert held(library) == content(photos, model)


def test_pruned_pictures_are_forgotten_and_their_ids_never_used_again(
    library: Library, photos: Path, model: Model
) -> None:
    before = ids(library)
    gone = picture(5)
    (photos / "005.png").unlink()
    (photos / "004.png").unlink()
    assert library.add([photos]).missing == 2
    (photos / "003.png").unlink()
    report = library.add([photos], prune=True)
    assert (report.removed, report.missing, report.unchanged) == (3, 0, 3)
    assert library.status().missing == 0 and set(ids(library)) == {"000.png", "001.png", "002.png"}
    write(photos / "005.png", gone)
    library.add([photos])
    assert ids(library)["005.png"] > max(before.values())


def test_pruning_does_not_take_what_moved_or_another_source(
    library: Library, photos: Path, tmp_path: Path
) -> None:
    other = fill(tmp_path / "other", 2, first=60)
    library.add([other])
    (other / "000.png").unlink()
    (photos / "000.png").rename(photos / "new name.png")
    report = library.add([photos], prune=True)
    assert (report.moved, report.removed) == (1, 0)
    assert library.add([other]).missing == 1


def test_an_emptied_source_is_not_pruned_unless_told_so(
    library: Library, photos: Path, tmp_path: Path
) -> None:
    shutil.rmtree(photos)
    photos.mkdir()  # where the drive was mounted
    with pytest.raises(SourceError, match="no pictures"):
        library.add([photos], prune=True)
    with pytest.raises(SourceError, match="no pictures"):
        library.add([photos])
    assert len(library) == 6
    write(photos / "drafts" / "x.png", picture(70))
    with pytest.raises(
        LibraryError, match=r"pruning would remove all 6 of them: mount its drive, or say --prune-all"
    ):
        library.add([photos], prune=True, exclude=["drafts"])
    assert len(library) == 6, "nothing was touched"
    shutil.rmtree(photos / "drafts")
    assert library.add([photos], prune="all").removed == 6
    assert len(library) == 0


def test_a_folder_that_cannot_be_read_is_not_pruned(library: Library, photos: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read every folder")
    fill(photos / "locked", 2, first=80)
    library.add([photos])
    (photos / "locked").chmod(0)
    try:
        assert library.add([photos], prune=True).removed == 0
    finally:
        (photos / "locked").chmod(0o700)
    assert len(library) == 8


def test_left_out_by_name_by_folder_and_by_path() -> None:
    globs = [within(glob, "/photos") for glob in ("drafts", "*.gif", "2019/raw/", "/top.png")]

    def left_out(path: str) -> bool:
        return not list(Excludes(globs).keep([Entry("", path, 0, 0)], ignore))

    for path in ("drafts/a.png", "x/drafts/y/a.png", "a.gif", "deep/b.gif", "2019/raw/c.png", "top.png"):
        assert left_out(path), path
    for path in ("drafts.png", "my drafts/a.png", "a.gif.png", "x/2019/raw/c.png", "2019/raw.png"):
        assert not left_out(path), path
    assert within("", "/photos") == within("/", "/photos") == ""


def test_excluded_pictures_are_not_added_and_leave_when_excluded_later(
    photos: Path, place: Path, model: Model, tmp_path: Path
) -> None:
    fill(photos / "drafts", 2, first=30)
    write(photos / ".hidden" / "a.png", picture(90))
    write(photos / ".b.png", picture(91))
    with Library.open(place, create_with=model) as library:
        assert library.add([photos], exclude=["drafts"]).added == 6, "hidden ones are left out anyway"
        assert library.add([photos]).added == 0, "it is remembered"
        assert library.add([photos], forget_excludes=True).added == 2
        report = library.add([photos], exclude=["drafts"])
        assert (report.missing, report.unchanged) == (2, 6)
        assert library.add([photos], exclude=["drafts"], prune=True).removed == 2
        with tarfile.open(tmp_path / "a.tar", "w") as tar:
            for name in ("keep/a.png", "drop/b.png"):
                tar.add(photos / "000.png", name)
        assert library.add([tmp_path / "a.tar"], exclude=["drop"]).added == 1


def test_a_dry_run_tells_everything_and_does_nothing(
    library: Library, photos: Path, place: Path, tmp_path: Path
) -> None:
    write(photos / "000.png", picture(40), time=1_700_000_005)
    (photos / "001.png").rename(photos / "moved.png")
    (photos / "002.png").unlink()
    write(photos / "new.png", picture(41))
    library.close()
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    plan = Library.plan(place, [photos])
    assert plan.new == [str(photos / "new.png")] and plan.changed == [str(photos / "000.png")]
    assert plan.moved == [(str(photos / "001.png"), str(photos / "moved.png"))]
    assert plan.missing == [str(photos / "002.png")] and (plan.unchanged, plan.known_failures) == (3, 0)
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before
    with Library.open(place) as again:
        report = again.add([photos])
        assert (report.added, report.changed, report.moved, report.missing, report.unchanged) == (
            1,
            1,
            1,
            1,
            3,
        )


def test_a_dry_run_before_there_is_a_library(photos: Path, place: Path) -> None:
    plan = Library.plan(place, [photos], exclude=["00[0-3].png"])
    assert [Path(name).name for name in plan.new] == ["004.png", "005.png"]
    assert not place.exists()

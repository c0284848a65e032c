"""Sources that overlap, move and are linked, against the catalogue: one picture once, and its id stays."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from sightbook.catalogue.catalogue import Catalogue
from sightbook.images.sources import open_sources
from sightbook.ingest import inode
from sightbook.library.library import Library
from sightbook.model.model import Model
from sightbook.progress import Notice
from tests.images.pictures import write_tar
from tests.ingest.test_add import counts
from tests.library.held import by_key
from tests.library.pictures import fill, picture, write


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two pictures at the top, three in 2023, two in 2023/may."""
    photos = fill(tmp_path / "photos", 2)
    fill(photos / "2023", 3, first=10)
    fill(photos / "2023" / "may", 2, first=20)
    return photos


@pytest.fixture
def library(place: Path, model: Model) -> Library:
    return Library.open(place, create_with=model)


def by_file(library: Library) -> dict[str, int]:
    """Ids by the file they are of, however it is reached; one twice is an error."""
    found: dict[str, int] = {}
    for rows in library.rows(100):
        for id, _, path, root, *_ in rows:
            file = str((Path(root) / path).resolve())
            assert file not in found, f"{file} is there twice"
            found[file] = id
    return found


def roots(library: Library) -> list[str]:
    return [source.root for source in library.status().sources]


@pytest.mark.parametrize("inner", ["2023", "2023/may", "2023/000.png"])
def test_an_inner_source_becomes_part_of_the_outer_one(library: Library, photos: Path, inner: str) -> None:
    library.add([photos / inner])
    before = by_file(library)
    report = library.add([photos])
    assert counts(report) == (7 - len(before), 0, len(before), 0, 0, 0)
    after = by_file(library)
    assert len(after) == 7 and before.items() <= after.items()
    assert roots(library) == [str(photos)]
    assert counts(library.add([photos])) == (0, 0, 7, 0, 0, 0)


@pytest.mark.parametrize("inner", ["2023", "2023/may", "2023/000.png"])
def test_a_part_of_a_known_source_is_brought_up_to_date_within_it(
    library: Library, photos: Path, inner: str
) -> None:
    library.add([photos])
    before = by_file(library)
    (photos / "000.png").unlink()  # outside: not looked at
    write(photos / "2023" / "000.png", picture(77), time=1_700_000_001)
    report = library.add([photos / inner])
    assert (report.added, report.missing) == (0, 0)
    assert report.changed == (inner != "2023/may")
    assert by_file(library) == before and roots(library) == [str(photos)]
    (photos / "2023" / "001.png").unlink()
    write(photos / "2023" / "new.png", picture(78))
    assert counts(library.add([photos / "2023"]))[:1] == (1,)
    assert library.status().missing == 1
    assert library.add([photos]).missing == 2


@pytest.mark.parametrize(
    "order", [("2023", "."), (".", "2023"), (".", "2023/000.png"), ("2023/may", "2023", ".")]
)
def test_an_outer_and_an_inner_source_at_once_are_one(
    library: Library, photos: Path, order: tuple[str, ...]
) -> None:
    for expected in (7, 0):
        report = library.add([photos / name for name in order])
        assert (report.added, report.added + report.unchanged) == (expected, 7)
        assert len(by_file(library)) == 7 and roots(library) == [str(photos)]


def test_doubles_of_an_older_library_are_healed_and_the_older_ids_stay(
    library: Library, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.add([photos / "2023"])
    before = by_file(library)
    with monkeypatch.context() as as_before:
        as_before.setattr(inode, "of", lambda path: None)
        as_before.setattr(inode, "below", lambda path, root: None)
        library.add([photos])
    assert len(library) == 12, "the case is made: five pictures are there twice"
    path = library.path
    for given in (photos, photos / "2023", fill(tmp_path / "elsewhere", 1, first=60)):
        copy = path.with_name(f"copy of {given.name}")
        shutil.copytree(path, copy)
        with Library.open(copy) as healed:
            heard: list[object] = []
            healed.add([given], listener=heard.append)
            assert [event.text for event in heard if isinstance(event, Notice)] == [
                f"5 pictures of {photos / '2023'} are part of {photos} and keep their ids, 5 were there twice"
            ]
            after = by_file(healed)
            assert before.items() <= after.items()
            assert len(after) == 7 + (given.name == "elsewhere")
            hits = healed.search(photos / "2023" / "000.png", 20)
            assert len(hits) == len(after) and len({hit.id for hit in hits}) == len(hits)


def test_a_linked_folder_is_the_folder_it_leads_to(library: Library, photos: Path, tmp_path: Path) -> None:
    album = fill(tmp_path / "album", 3, first=30)
    (photos / "linked").symlink_to(album)
    library.add([album])
    before = by_file(library)
    assert counts(library.add([photos])) == (7, 0, 3, 0, 0, 0)
    assert before.items() <= by_file(library).items()
    assert counts(library.add([album])) == (0, 0, 3, 0, 0, 0)
    assert counts(library.add([album, photos])) == (0, 0, 10, 0, 0, 0)
    assert len(by_file(library)) == 10 and roots(library) == [str(photos)]


@pytest.mark.parametrize("first", ["a", "photos"])
def test_a_link_into_a_source_given_at_once_makes_no_double(
    library: Library, photos: Path, tmp_path: Path, first: str
) -> None:
    album = fill(tmp_path / "a", 3, first=30)  # gone through before the one that leads to it
    deep = tmp_path / "deep" / "er"
    shutil.move(photos, deep)
    (deep / "linked").symlink_to(album)
    given = [album, deep] if first == "a" else [deep, album]
    assert counts(library.add(given)) == (10, 0, 0, 0, 0, 0)
    assert counts(library.add(given)) == (0, 0, 10, 0, 0, 0)
    assert len(by_file(library)) == 10


def test_a_folder_that_two_sources_link_to_is_held_by_the_first(library: Library, tmp_path: Path) -> None:
    shared = fill(tmp_path / "shared", 3, first=30)
    one, two = fill(tmp_path / "one", 1), fill(tmp_path / "two", 1, first=1)
    for source in (one, two):
        (source / "link").symlink_to(shared)
    assert library.add([one]).added == 4
    assert library.add([two]).added == 1
    assert counts(library.add([one, two])) == (0, 0, 5, 0, 0, 0)
    assert len(by_file(library)) == 5


def test_a_mount_of_a_known_source_is_that_source(
    library: Library, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.add([photos])
    before = by_file(library)
    mounted = tmp_path / "mounted"
    shutil.copytree(photos, mounted)
    real = inode.of

    def bound(path: str | Path) -> inode.Inode | None:
        return real(str(path).replace(str(mounted), str(photos)))

    monkeypatch.setattr(inode, "of", bound)
    assert counts(library.add([mounted])) == (0, 0, 7, 0, 0, 0)
    assert counts(library.add([mounted / "2023"])) == (0, 0, 5, 0, 0, 0)
    assert by_file(library) == before and roots(library) == [str(photos)]


def test_what_the_outer_source_leaves_out_stays_the_inner_ones(library: Library, photos: Path) -> None:
    library.add([photos / "2023"])
    assert counts(library.add([photos], exclude=["2023"])) == (2, 0, 0, 0, 0, 0)
    assert len(by_file(library)) == 7 and len(roots(library)) == 2


def test_a_hidden_folder_is_a_source_of_its_own(library: Library, photos: Path) -> None:
    hidden = fill(photos / ".thumbs", 2, first=40)
    assert counts(library.add([photos, hidden])) == (9, 0, 0, 0, 0, 0)
    assert counts(library.add([photos])) == (0, 0, 7, 0, 0, 0)
    assert counts(library.add([hidden])) == (0, 0, 2, 0, 0, 0)
    assert len(by_file(library)) == 9


def test_library_and_photos_that_moved_together_go_on(library: Library, photos: Path, tmp_path: Path) -> None:
    library.add([photos])
    keys, before = by_key(library), sorted(by_file(library).values())
    library.close()
    new = tmp_path / "new disk"
    new.mkdir()
    for each in (library.path, photos):
        shutil.move(each, new / each.name)
    heard: list[str] = []
    with Library.open(new / library.path.name) as moved:
        report = moved.add(
            [new / "photos"], listener=lambda e: heard.append(e.text) if isinstance(e, Notice) else None
        )
        assert counts(report) == (0, 0, 7, 0, 0, 0)
        assert by_key(moved) == keys, "keys stay, too"
        assert sorted(by_file(moved).values()) == before and roots(moved) == [str(new / "photos")]
    assert heard == [f"{photos} is {new / 'photos'} now: its pictures keep their ids"]


def test_a_source_that_moved_into_or_out_of_another_keeps_its_ids(
    library: Library, photos: Path, tmp_path: Path
) -> None:
    library.add([photos / "2023"])
    inner = sorted(by_file(library).values())
    new = tmp_path / "elsewhere" / "all of them"
    new.parent.mkdir()
    shutil.move(photos, new)
    assert counts(library.add([new])) == (2, 0, 5, 0, 0, 0), "it is a part of what is added now"
    everything = by_file(library)
    assert set(inner) < set(everything.values()) and roots(library) == [str(new)]
    shutil.move(new / "2023", tmp_path / "2023 alone")
    shutil.rmtree(new)
    assert counts(library.add([tmp_path / "2023 alone"])) == (0, 0, 5, 0, 0, 0)
    assert {id for file, id in by_file(library).items() if "alone" in file} == set(inner)


def test_a_tar_that_moved_keeps_its_ids_and_another_one_is_new(
    library: Library, photos: Path, tmp_path: Path
) -> None:
    for name, first in (("one", 0), ("two", 50)):
        folder = fill(tmp_path / name, 3, first=first)
        with tarfile.open(tmp_path / f"{name}.tar", "w") as tar:
            tar.add(folder, arcname=".")
    library.add([tmp_path / "one.tar"])
    keys = by_key(library)
    (tmp_path / "one.tar").rename(tmp_path / "kept.tar")
    assert counts(library.add([tmp_path / "two.tar"])) == (3, 0, 0, 0, 0, 0), "other content"
    report = library.add([tmp_path / "kept.tar"])
    assert (report.added, report.missing) == (0, 0)
    assert keys.keys() <= by_key(library).keys() and len(library) == 6


def test_a_copy_beside_its_original_stays_a_picture_of_its_own(
    library: Library, photos: Path, tmp_path: Path
) -> None:
    library.add([photos])
    shutil.copytree(photos, tmp_path / "copy")
    assert library.add([tmp_path / "copy"]).added == 7
    library.add([photos, tmp_path / "copy"])
    shutil.move(photos, tmp_path / "unplugged")
    assert counts(library.add([tmp_path / "copy"])) == (0, 0, 7, 0, 0, 0)
    assert len(library) == 14, "both were there at one time, so one was not moved to the other"


def test_failures_go_with_their_source(library: Library, photos: Path) -> None:
    write(photos / "2023" / "broken.png", b"\x89PNG no picture")
    assert len(library.add([photos / "2023"]).failed) == 1
    report = library.add([photos])
    assert (report.known_failures, report.failed, report.unchanged) == (1, [], 5)
    assert [failure.path for failure in library.failures()] == ["2023/broken.png"]


def test_a_dry_run_tells_and_changes_nothing(library: Library, photos: Path) -> None:
    library.add([photos / "2023"])
    plan = Library.plan(library.path, [photos])
    assert (len(plan.new), plan.unchanged) == (2, 5)
    assert roots(library) == [str(photos / "2023")]


@pytest.mark.parametrize("inner", ["2023", "2023/000.png", "linked"])
def test_what_is_learned_from_comes_once_too(photos: Path, tmp_path: Path, inner: str) -> None:
    (tmp_path / "linked").symlink_to(photos / "2023")
    given = tmp_path / "linked" if inner == "linked" else photos / inner
    for order in ([photos, given], [given, photos]):
        files = [
            str((Path(e.origin.root) / e.path).resolve()) for e in open_sources(order).entries() if e.origin
        ]
        assert len(files) == len(set(files)) == 7


def test_a_first_add_of_an_outer_and_an_inner_folder_has_each_picture_once(
    tmp_path: Path, photos: Path
) -> None:
    command = [sys.executable, "-m", "sightbook", "add", "library", "photos/2023", "photos", "--json"]
    for added in (7, 0):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        report = json.loads(done.stdout)
        assert (report["added"], report["added"] + report["unchanged"]) == (added, 7), done.stderr
    with Library.open(tmp_path / "library") as library:
        assert library.status().learned_from == 7 and len(by_file(library)) == 7


def test_names_that_every_folder_has_do_not_hide_where_a_source_went(
    library: Library, tmp_path: Path
) -> None:
    for number in range(6):
        fill(tmp_path / "photos" / f"{number}", 3, first=10 * number)
        fill(tmp_path / "photos" / "deep" / f"{number}", 3, first=100 + 10 * number)
    library.add([tmp_path / "photos"])
    keys = by_key(library)
    shutil.move(tmp_path / "photos", tmp_path / "new")
    assert counts(library.add([tmp_path / "new" / "3", tmp_path / "new"])) == (0, 0, 36, 0, 0, 0)
    assert by_key(library) == keys
    (tmp_path / "in").mkdir()
    shutil.move(tmp_path / "new", tmp_path / "in" / "new")
    assert counts(library.add([tmp_path / "in"])) == (0, 0, 36, 0, 0, 0)
    assert {path for _, path in by_key(library)} == {f"new/{path}" for _, path in keys}


@pytest.fixture
def favourites(tmp_path: Path, photos: Path) -> Path:
    """A picture of its own, and links to two of the photos."""
    favourites = fill(tmp_path / "a favourites", 1, first=90)
    for name in ("000.png", "2023/may/001.png"):
        (favourites / f"link-{name.replace('/', '-')}").symlink_to(photos / name)
    return favourites


def test_a_link_to_a_picture_of_another_source_is_no_second_one(
    library: Library, photos: Path, favourites: Path
) -> None:
    library.add([photos])
    before = by_file(library)
    assert counts(library.add([favourites])) == (1, 0, 0, 0, 0, 0)
    assert before.items() <= by_file(library).items()
    assert counts(library.add([photos, favourites])) == (0, 0, 8, 0, 0, 0)


def test_a_picture_that_was_known_by_links_alone_becomes_the_files_own(
    library: Library, photos: Path, favourites: Path
) -> None:
    library.add([favourites])
    before = by_file(library)
    assert counts(library.add([photos])) == (5, 0, 2, 0, 0, 0)
    assert before.items() <= by_file(library).items(), "ids stay"
    for given in ([favourites], [photos], [favourites, photos]):
        assert library.add(given).added == 0
        assert len(by_file(library)) == 8 and library.status().missing == 0


@pytest.mark.parametrize("first", ["links", "files"])
def test_links_and_their_files_at_once_are_one(
    library: Library, photos: Path, favourites: Path, first: str
) -> None:
    given = [favourites, photos] if first == "links" else [photos, favourites]
    for _ in range(3):
        library.add(given)
        assert len(by_file(library)) == 8 and library.status().missing == 0


def test_links_within_one_source_stay_pictures_like_others(library: Library, photos: Path) -> None:
    (photos / "again.png").symlink_to(photos / "000.png")
    assert library.add([photos]).added == 8
    assert counts(library.add([photos])) == (0, 0, 8, 0, 0, 0)


def test_tars_that_are_one_file_stay_the_two_sources_that_they_were(library: Library, tmp_path: Path) -> None:
    """As `cp -al` makes them."""
    files = {f"{n}.png": picture(n) for n in range(3)}
    first = write_tar(tmp_path / "a.tar", files)
    second = tmp_path / "b.tar"
    second.hardlink_to(first)
    for _ in range(2):
        report = library.add([first, second])
        assert report.added + report.unchanged == 6
    assert [(source.root, source.pictures) for source in library.status().sources] == [
        (str(first), 3),
        (str(second), 3),
    ]


def test_many_folders_are_held_against_each_other_in_one_look_at_each(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [fill(tmp_path / f"{n}" / "in", 1, first=n).parent for n in range(8)]
    looked: list[str] = []
    real = os.path.islink
    monkeypatch.setattr(os.path, "islink", lambda path: looked.append(str(path)) or real(path))
    library.add(folders[0])
    assert not [path for path in looked if path.endswith(".png")], "there is nothing to link to"
    library.add(folders)
    asked: list[str] = []
    known = Catalogue.known

    def counted(self: Catalogue, source: str) -> object:
        asked.append(source)
        return known(self, source)

    monkeypatch.setattr(Catalogue, "known", counted)
    assert library.add(folders).unchanged == 8
    assert len(asked) <= 3 * 8

"""Excludes of a part of a source that is known, and of the whole: between the command, the walk and the catalogue."""

from __future__ import annotations

from pathlib import Path

import pytest

from sightbook.images.exclude import below
from sightbook.library.library import Library
from sightbook.model.model import Model
from sightbook.progress import Notice
from tests.library.pictures import fill, picture, write


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos [1]"
    fill(folder, 2)
    for place, seed in (("2023", 10), ("2023/drafts", 20), ("2023/trip/drafts", 30), ("2024/drafts", 40)):
        write(folder / place / "a.png", picture(seed))
    write(folder / "notes.txt", b"words")
    return folder


def paths(library: Library, photos: Path) -> set[str]:
    return {hit.path for hit in library.search(photos / "000.png", k=99)}


EVERYTHING = {
    *("000.png", "001.png", "2023/a.png", "2023/drafts/a.png"),
    *("2023/trip/drafts/a.png", "2024/drafts/a.png"),
}
DRAFTS = {"2023/drafts/a.png", "2023/trip/drafts/a.png"}


def test_an_exclude_of_a_part_is_remembered_and_reaches_no_further(
    place: Path, model: Model, photos: Path
) -> None:
    with Library.open(place, create_with=model) as library:
        library.add(photos)
        assert paths(library, photos) == EVERYTHING
        library.add(photos / "2023", exclude=["drafts"])
        assert paths(library, photos) == EVERYTHING - DRAFTS
        library.add(photos)
        assert paths(library, photos) == EVERYTHING - DRAFTS, "and the other folder of that name stays"
        library.add(photos, forget_excludes=True)
        assert paths(library, photos) == EVERYTHING


def test_a_part_goes_by_what_is_excluded_from_the_whole_and_leaves_its_counts(
    place: Path, model: Model, photos: Path
) -> None:
    with Library.open(place, create_with=model) as library:
        library.add(photos, exclude=["2023/drafts"])
        wanted = EVERYTHING - {"2023/drafts/a.png"}
        assert paths(library, photos) == wanted
        (told,) = library.status().sources
        library.add(photos / "2023")
        assert paths(library, photos) == wanted
        assert library.status().sources[0].left_out == told.left_out != []


@pytest.mark.parametrize("glob", ["drafts", "2023/*drafts", "2023/trip"])
def test_excludes_are_forgotten_by_a_part_too(place: Path, model: Model, photos: Path, glob: str) -> None:
    """They are the source's, so they are forgotten for the whole of it."""
    with Library.open(place, create_with=model) as library:
        library.add(photos, exclude=[glob])
        library.add(photos / "2023", forget_excludes=True)
        assert paths(library, photos) == EVERYTHING - ({"2024/drafts/a.png"} if glob == "drafts" else set())
        assert library.status().sources[0].exclude == ()
        library.add(photos)
        assert paths(library, photos) == EVERYTHING


def test_what_an_inner_source_excludes_stays_excluded_when_an_outer_one_takes_it(
    place: Path, model: Model, photos: Path
) -> None:
    with Library.open(place, create_with=model) as library:
        library.add(photos / "2023", exclude=["drafts"])
        library.add(photos)
        assert paths(library, photos) == EVERYTHING - DRAFTS
        (source,) = library.status().sources
        assert source.exclude == ("2023/drafts", "2023/*/drafts")
        library.add(photos, forget_excludes=True)
        assert paths(library, photos) == EVERYTHING


def test_an_exclude_of_a_part_that_fits_nothing_is_told(place: Path, model: Model, photos: Path) -> None:
    said: list[str] = []

    def listen(event: object) -> None:
        if isinstance(event, Notice):
            said.append(event.text)

    with Library.open(place, create_with=model) as library:
        library.add(photos)
        library.add(photos / "2023", exclude=["drafts", "nowhere"], listener=listen)
    assert [text for text in said if "fits nothing" in text] == [
        f"the exclude 'nowhere' fits nothing in {photos}"
    ]


@pytest.mark.parametrize(
    ("glob", "folder", "wanted"),
    [
        ("raw", "2023/", ["2023/raw", "2023/*/raw"]),
        ("a/raw", "2023/", ["2023/a/raw"]),
        ("*.gif", "x [1]/", ["x [[]1]/*.gif", "x [[]1]/*/*.gif"]),
    ],
)
def test_a_glob_of_a_part_is_placed_in_the_whole(glob: str, folder: str, wanted: list[str]) -> None:
    assert below(glob, folder) == wanted


@pytest.mark.parametrize("deeper", ["", "inner/folder"])
@pytest.mark.parametrize("glob", ["drafts", "2023/drafts"])
def test_a_source_that_moved_takes_its_excludes_along(
    place: Path, model: Model, photos: Path, deeper: str, glob: str
) -> None:
    """It is recognized by its pictures, and nobody says `moved_from`."""
    with Library.open(place, create_with=model) as library:
        library.add(photos, exclude=[glob])
        wanted, ids = paths(library, photos), set(library.codes()[0].tolist())
        new = photos.parent / "elsewhere [2]"
        target = new / deeper
        target.parent.mkdir(parents=True, exist_ok=True)
        photos.rename(target)
        prefix = f"{deeper}/" if deeper else ""
        plan = Library.plan(place, new)
        assert (plan.new, plan.changed, plan.unchanged) == ([], [], len(wanted)), "nor would it be added"
        report = library.add(new)
        assert (report.added, report.unchanged) == (0, len(wanted))
        (told,) = [(group.reason, group.count) for group in report.left_out if group.reason == "excluded"]
        assert told == ("excluded", 6 - len(wanted))
        assert paths(library, target) == {prefix + path for path in wanted}
        assert set(library.codes()[0].tolist()) == ids
        write(target / "2023" / "drafts" / "later.png", picture(77))
        assert library.add(new).added == 0, "also what comes later"
        assert library.add(new, forget_excludes=True).added == 7 - len(wanted)


def test_excludes_of_a_source_that_moved_can_be_forgotten_at_once(
    place: Path, model: Model, photos: Path
) -> None:
    with Library.open(place, create_with=model) as library:
        library.add(photos, exclude=["drafts"])
        report = library.add(photos.rename(photos.parent / "elsewhere"), forget_excludes=True)
        assert (report.added, report.unchanged) == (3, 3)
        assert library.status().sources[0].exclude == ()

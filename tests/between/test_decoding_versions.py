"""A library whose codes an older version made learns of other colours at its next `add`: between images and library."""

from __future__ import annotations

from pathlib import Path

import pytest

from sightbook.catalogue.catalogue import NAME, Catalogue
from sightbook.images.entry import Entry, Origin
from sightbook.images.kinds.registry import kind_of
from sightbook.images.pixels import versions
from sightbook.images.sources import source_id
from sightbook.ingest import add as ingest
from sightbook.ingest.migrate import migrate
from sightbook.library.library import Library
from sightbook.model.model import Model
from sightbook.progress import Notice
from tests.images.pictures import encoded, gradient, write_folder, write_parquet, write_tar
from tests.images.test_colour import P3, SRGB, adobe
from tests.images.test_decode import png
from tests.tiny import tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.open(tiny_model(tmp_path_factory.mktemp("model")), threads=1)


def pictures() -> dict[str, bytes]:
    rgb = gradient(60, 40)
    return {
        "plain.jpg": encoded(rgb, "JPEG"),
        "srgb.jpg": encoded(gradient(61, 40), "JPEG", icc_profile=SRGB),
        "p3.jpg": encoded(gradient(62, 40), "JPEG", icc_profile=P3),
        "adobe.png": encoded(gradient(63, 40), icc_profile=adobe()),
        "plain.png": encoded(gradient(64, 40)),
        "plain.gif": encoded(gradient(66, 40), "GIF"),
        "p3.webp": encoded(gradient(65, 40), "WEBP", icc_profile=P3),
    }


WIDE = {"p3.jpg", "adobe.png", "p3.webp"}


def as_of_version_1(library: Path) -> None:
    """What an older program leaves: no word of decoding."""
    catalogue = Catalogue.write(library / NAME)
    catalogue.connection.execute("DELETE FROM meta WHERE key LIKE 'decoding %'")
    catalogue.close()


@pytest.mark.parametrize("kind", ["folder", "tar", "parquet"])
def test_the_next_add_reads_the_pictures_anew_whose_colours_are_taken_otherwise(
    kind: str, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = pictures()
    source = {
        "folder": lambda: write_folder(tmp_path / "photos", files),
        "tar": lambda: write_tar(tmp_path / "x.tar", files),
        "parquet": lambda: write_parquet(tmp_path / "x.parquet", list(files.values())),
    }[kind]()
    place = tmp_path / "library"
    with monkeypatch.context() as older:
        older.setattr("sightbook.images.pixels.rgb.profile_of", lambda image: None)
        with Library.open(place, create_with=model) as library:
            library.add(source, jobs=1)
            before = {hit.path: (hit.id, hit.raw) for hit in library.search(files["plain.jpg"], k=9)}
    as_of_version_1(place)
    said: list[str] = []
    with Library.open(place) as library:
        report = library.add(
            source, jobs=1, listener=lambda e: said.append(e.text) if isinstance(e, Notice) else None
        )
        assert (report.added, report.changed, report.unchanged, report.missing) == (0, 0, 7, 0)
        assert [text for text in said if "read anew" in text] == [
            "3 of the pictures that are known were read by an older version, which took their colours otherwise: they "
            "are read anew"
        ]
        hits = library.search(files["plain.jpg"], k=9)
        assert {hit.path: hit.id for hit in hits} == {path: id for path, (id, _) in before.items()}
        said.clear()
        assert library.add(source, jobs=1, listener=said.append).unchanged == 7
        assert not any("anew" in str(text) for text in said)
    with Library.open(tmp_path / "fresh", create_with=model) as fresh:
        fresh.add(source, jobs=1)
        wanted = {hit.path: hit.raw for hit in fresh.search(files["plain.jpg"], k=9)}
    assert {hit.path: hit.raw for hit in hits} == wanted
    assert wanted != {path: raw for path, (_, raw) in before.items()}


def test_an_older_library_is_opened_searched_and_its_failures_are_tried_again(
    tmp_path: Path, model: Model
) -> None:
    photos = write_folder(tmp_path / "photos", pictures() | {"a.png": b"no picture"})
    place = tmp_path / "library"
    with Library.open(place, create_with=model) as library:
        library.add(photos)
        assert library.add(photos).known_failures == 1
        as_of_version_1(place)
        assert len(library.search(photos / "plain.jpg", k=9)) == 7
        assert len(library.add(photos).failed) == 1
        assert library.add(photos).known_failures == 1


def test_a_migration_is_of_the_present_version(tmp_path: Path, model: Model) -> None:
    photos = write_folder(tmp_path / "photos", pictures())
    place = tmp_path / "library"
    with Library.open(place, create_with=model) as library:
        library.add(photos)
    as_of_version_1(place)
    migrate(place, Model.open(tiny_model(tmp_path / "other", seed=1), threads=1))
    catalogue = Catalogue.read(place / NAME)
    assert [catalogue.decoding(row.id) for row in catalogue.sources()] == [versions.VERSION]
    catalogue.close()


def test_single_pictures_of_a_new_source_are_of_the_present_version(tmp_path: Path, model: Model) -> None:
    photos = write_folder(tmp_path / "photos", pictures())
    with Library.open(tmp_path / "library", create_with=model) as library:
        library.add(photos / "p3.jpg")
        report = library.add(photos)
        assert (report.added, report.unchanged) == (6, 1)
        assert report.rate > 0


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("outer_known", [False, True])
def test_what_comes_from_an_older_source_is_read_anew_also_after_a_kill(
    outer_known: bool, killed: bool, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = write_folder(tmp_path / "photos" / "2023", pictures())
    place, outer = tmp_path / "library", tmp_path / "photos"
    with Library.open(place, create_with=model) as library:
        with monkeypatch.context() as older:
            older.setattr("sightbook.images.pixels.rgb.profile_of", lambda image: None)
            library.add(inner, jobs=1)
        before = {hit.path: hit.id for hit in library.search(inner / "plain.jpg", k=9)}
        as_of_version_1(place)
        if outer_known:
            (outer / "top.png").write_bytes(encoded(gradient(67, 40)))
            catalogue = Catalogue.write(place / NAME)
            root = Path(outer).resolve()
            catalogue.put_source(source_id(root), "folder", str(root), 1.0)
            catalogue.put_decoding(source_id(root), versions.VERSION)
            catalogue.close()
        if killed:
            with monkeypatch.context() as stopping, pytest.raises(RuntimeError, match="killed"):
                stopping.setattr(ingest, "commit_all", _killed)
                library.add(outer, jobs=1)
        library.add(outer, jobs=1)
        hits = {hit.path.removeprefix("2023/"): hit for hit in library.search(inner / "plain.jpg", k=9)}
        assert {path: hit.id for path, hit in hits.items() if path in before} == before
    with Library.open(tmp_path / "fresh", create_with=model) as fresh:
        fresh.add(inner, jobs=1)
        wanted = {hit.path: hit.raw for hit in fresh.search(inner / "plain.jpg", k=9)}
    assert {path: hit.raw for path, hit in hits.items() if path in wanted} == wanted


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("to", ["p/other.jpg", "p/deeper/p3.jpg", "another source/p3.jpg"])
def test_a_picture_of_an_older_library_that_moved_is_read_anew_under_its_id(
    to: str, killed: bool, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = write_folder(tmp_path / "p", pictures())
    place, target = tmp_path / "library", tmp_path / to
    sources = [photos] if to.startswith("p/") else [photos, target.parent]
    with Library.open(place, create_with=model) as library:
        with monkeypatch.context() as older:
            older.setattr("sightbook.images.pixels.rgb.profile_of", lambda image: None)
            library.add(photos, jobs=1)
        id = library.id_of(str(photos / "p3.jpg"))
        as_of_version_1(place)
        target.parent.mkdir(exist_ok=True)
        (photos / "p3.jpg").rename(target)
        if killed:
            with monkeypatch.context() as stopping, pytest.raises(RuntimeError, match="killed"):
                stopping.setattr(ingest, "commit_all", _killed)
                library.add(sources, jobs=1)
        assert library.add(sources, jobs=1).moved == (not killed)
        assert library.id_of(str(target)) == id
        found = {hit.locator: hit.raw for hit in library.search(photos / "plain.jpg", k=9)}
        assert library.add(sources, jobs=1).unchanged == 7
    with Library.open(tmp_path / "fresh", create_with=model) as fresh:
        fresh.add(sources, jobs=1)
        assert found == {hit.locator: hit.raw for hit in fresh.search(photos / "plain.jpg", k=9)}


def _killed(*_: object) -> None:
    raise RuntimeError("killed")


@pytest.mark.parametrize("name", pictures())
def test_the_head_of_a_file_tells_whether_it_is_concerned(name: str, tmp_path: Path) -> None:
    data = pictures()[name]
    write_folder(tmp_path, {name: data})
    entry = Entry("s", name, len(data), 0, None, Origin(kind_of("folder"), str(tmp_path)))
    assert versions.reads_otherwise(entry, 1) == (name in WIDE)
    assert not versions.reads_otherwise(entry, 2)
    gone = Entry("s", "gone.jpg", 9, 0, None, Origin(kind_of("folder"), str(tmp_path)))
    assert not versions.reads_otherwise(gone, 1)


def test_from_version_2_on_deep_pictures_with_alpha_and_tiff_are_read_anew(
    tmp_path: Path, model: Model
) -> None:
    files = {
        **pictures(),
        "grey.png": png(2, 1, b"\0" + bytes(8), depth=16, colour=4),
        "colour.png": png(2, 1, b"\0" + bytes(16), depth=16, colour=6),
        "opaque.png": png(2, 1, b"\0" + bytes(12), depth=16, colour=2),
        "plain.tif": encoded(gradient(67, 40), "TIFF"),
    }
    photos = write_folder(tmp_path / "photos", files)
    with Library.open(tmp_path / "library", create_with=model) as library:
        library.add(photos)
        catalogue = Catalogue.write(library.path / NAME)
        (source,) = catalogue.sources()
        catalogue.put_decoding(source.id, 2)
        catalogue.close()
        said: list[str] = []
        for _ in range(2):
            library.add(photos, listener=lambda e: said.append(e.text) if isinstance(e, Notice) else None)
        anew = [text for text in said if "read anew" in text]
        assert len(anew) == 1 and anew[0].startswith(
            "3 of the pictures that are known were read by an older version"
        )

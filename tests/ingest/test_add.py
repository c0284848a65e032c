from __future__ import annotations

import io
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sightbook.errors import LibraryError, SourceError
from sightbook.ingest.report import AddReport
from sightbook.library.library import Library
from sightbook.model.model import Model
from sightbook.progress import Notice, Progress
from tests.library.held import by_key, catalogue_of, held, ids, stamp
from tests.library.pictures import content, fill, picture, write


def counts(report: AddReport) -> tuple[int, int, int, int, int, int]:
    return (
        report.added,
        report.changed,
        report.unchanged,
        len(report.failed),
        report.known_failures,
        report.missing,
    )


def test_what_is_added_is_what_each_picture_gives_on_its_own(
    tmp_path: Path, place: Path, model: Model
) -> None:
    photos = fill(tmp_path / "p", 7)
    write(photos / "deep/er/ünï code.png", picture(50))
    with Library.open(place, create_with=model) as library:
        assert counts(library.add([photos])) == (8, 0, 0, 0, 0, 0)
        assert held(library) == content(photos, model)
        assert len(library) == 8


def test_adding_again_reads_nothing_and_changes_nothing(
    tmp_path: Path, place: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = fill(tmp_path / "p", 5)
    write(photos / "bad.png", b"no picture")
    with Library.open(place, create_with=model) as library:
        library.add([photos])
        before = stamp(library), held(library)

        def forbidden(*_: object, **__: object) -> None:
            raise AssertionError("a picture was opened or the encoder started")

        monkeypatch.setattr("sightbook.images.entry.Entry.read", forbidden)
        monkeypatch.setattr("sightbook.model.encode.encode", forbidden)
        monkeypatch.setattr(Library, "model", property(forbidden))
        assert counts(library.add([photos])) == (0, 0, 5, 0, 1, 0)
        assert (stamp(library), held(library)) == before


def test_only_what_changed_is_encoded_again_under_its_id(tmp_path: Path, place: Path, model: Model) -> None:
    photos = fill(tmp_path / "p", 4)
    with Library.open(place, create_with=model) as library:
        library.add([photos])
        before = ids(library)
        write(photos / "001.png", picture(77), time=1_700_000_001)
        write(photos / "new.png", picture(78))
        assert counts(library.add([photos])) == (1, 1, 3, 0, 0, 0)
        assert held(library) == content(photos, model)
        assert {path: id for path, id in ids(library).items() if path != "new.png"} == before


@pytest.mark.parametrize("step", [1, 10**9, -(10**9)])
def test_a_change_of_the_time_alone_is_looked_at(
    tmp_path: Path, place: Path, model: Model, step: int
) -> None:
    photos = fill(tmp_path / "p", 2)
    with Library.open(place, create_with=model) as library:
        library.add([photos])
        time = (photos / "000.png").stat().st_mtime_ns + step  # one nanosecond, or a clock set back
        os.utime(photos / "000.png", ns=(time, time))
        assert counts(library.add([photos])) == (0, 0, 2, 0, 0, 0), "same bytes: unchanged"
        (photos / "000.png").write_bytes(picture(9))
        os.utime(photos / "000.png", ns=(time + step, time + step))
        assert counts(library.add([photos])) == (0, 1, 1, 0, 0, 0)
        assert held(library) == content(photos, model)


def test_a_bad_picture_costs_one_line_and_one_row(tmp_path: Path, place: Path, model: Model) -> None:
    photos = fill(tmp_path / "p", 4)
    write(photos / "empty.jpg", b"")
    write(photos / "cut.png", picture(5, 64)[:-300])
    write(photos / "lies.jpg", b"<html>not found</html>")
    heard: list[str] = []
    with Library.open(place, create_with=model) as library:
        report = library.add(
            [photos], listener=lambda e: heard.append(e.text) if isinstance(e, Notice) else None
        )
        assert counts(report) == (4, 0, 0, 3, 0, 0)
        assert [failure.path for failure in report.failed] == ["cut.png", "empty.jpg", "lies.jpg"]
        assert [(f.path, f.reason) for f in library.failures()] == [(f.path, f.reason) for f in report.failed]
        assert heard == [f"{photos / f.path}: {f.reason}" for f in report.failed]
        assert held(library) == content(photos, model)


def test_a_failed_picture_is_tried_again_when_it_changes_or_on_request(
    tmp_path: Path, place: Path, model: Model
) -> None:
    photos = fill(tmp_path / "p", 1)
    bad = write(photos / "bad.png", b"no picture")
    with Library.open(place, create_with=model) as library:
        assert counts(library.add([photos])) == (1, 0, 0, 1, 0, 0)
        assert counts(library.add([photos])) == (0, 0, 1, 0, 1, 0)
        assert counts(library.add([photos], retry=True)) == (0, 0, 1, 1, 0, 0)
        write(bad, picture(3), time=1_700_000_009)
        assert counts(library.add([photos])) == (1, 0, 1, 0, 0, 0)
        assert library.failures() == []
        bad.unlink()
        write(photos / "other.png", b"bad again")
        assert counts(library.add([photos])) == (0, 0, 1, 1, 0, 1)
        (photos / "other.png").unlink()
        assert counts(library.add([photos])) == (0, 0, 1, 0, 0, 1)
        assert library.failures() == []


def test_a_good_picture_that_becomes_unreadable_leaves_searches_and_comes_back_under_its_id(
    tmp_path: Path, place: Path, model: Model
) -> None:
    photos = fill(tmp_path / "p", 3)
    with Library.open(place, create_with=model) as library:
        library.add([photos])
        before = ids(library)
        write(photos / "001.png", b"broken", time=1_700_000_001)
        assert counts(library.add([photos])) == (0, 0, 2, 1, 0, 0)
        assert {hit.path for hit in library.search(photos / "000.png", k=9)} == {"000.png", "002.png"}
        status = library.status()
        assert (status.pictures, status.unreadable, status.failures) == (2, 1, 1)
        assert counts(library.add([photos])) == (0, 0, 2, 0, 1, 0)
        write(photos / "001.png", picture(1))  # restored from a copy, with its time: known without reading
        assert counts(library.add([photos])) == (0, 0, 3, 0, 0, 0)
        assert (ids(library), library.failures()) == (before, [])
        assert held(library) == content(photos, model)
        write(photos / "001.png", b"broken", time=1_700_000_001)
        library.add([photos])
        write(photos / "001.png", picture(60), time=1_700_000_002)
        assert counts(library.add([photos])) == (0, 1, 2, 0, 0, 0)
        assert (ids(library), held(library)) == (before, content(photos, model))


def test_a_picture_that_is_gone_is_missing_until_it_is_back(
    tmp_path: Path, place: Path, model: Model
) -> None:
    photos = fill(tmp_path / "p", 3)
    with Library.open(place, create_with=model) as library:
        library.add([photos])
        before = ids(library)
        (photos / "002.png").unlink()
        assert counts(library.add([photos])) == (0, 0, 2, 0, 0, 1)
        assert [hit.path for hit in library.search(picture(2), k=9) if hit.path == "002.png"] == []
        assert counts(library.add([photos])) == (0, 0, 2, 0, 0, 1)
        assert library.status().missing == 1
        write(photos / "002.png", picture(2))
        assert counts(library.add([photos])) == (0, 0, 3, 0, 0, 0)
        assert (ids(library), held(library)) == (before, content(photos, model))


def test_naming_single_pictures_makes_no_others_missing(tmp_path: Path, place: Path, model: Model) -> None:
    photos = fill(tmp_path / "p", 3)
    with Library.open(place, create_with=model) as library:
        library.add([photos])
        write(photos / "000.png", picture(40), time=1_700_000_001)
        assert counts(library.add([photos / "000.png", photos / "001.png"])) == (0, 1, 1, 0, 0, 0)
        assert held(library) == content(photos, model)


def test_tar_and_parquet_members_are_keys_like_files(tmp_path: Path, place: Path, model: Model) -> None:
    photos = fill(tmp_path / "p", 4)
    with tarfile.open(tmp_path / "t.tar", "w") as archive:
        for path in sorted(photos.iterdir()):
            archive.add(path, f"x/{path.name}")
    table = pa.table(
        {"image": [{"bytes": picture(n), "path": None} for n in range(4)], "label": [0, 1, 0, 1]}
    )
    pq.write_table(table, tmp_path / "t.parquet")
    with Library.open(place, create_with=model) as library:
        assert counts(library.add([tmp_path / "t.tar", tmp_path / "t.parquet"])) == (8, 0, 0, 0, 0, 0)
        alone = content(photos, model)
        rows = held(library)
        assert [rows[f"x/00{n}.png"] for n in range(4)] == [alone[f"00{n}.png"] for n in range(4)]
        assert [rows[str(n)] for n in range(4)] == [alone[f"00{n}.png"] for n in range(4)]
        assert counts(library.add([str(tmp_path / "t.*")])) == (0, 0, 8, 0, 0, 0)
        tied = [hit for hit in library.search(picture(2), k=8) if hit.path in ("2", "x/002.png")]
        assert {hit.read() for hit in tied} == {picture(2)}
        assert {hit.locator for hit in tied} == {f"{tmp_path}/t.tar:x/002.png", f"{tmp_path}/t.parquet row 2"}


def test_labels_are_nowhere_in_the_catalogue(tmp_path: Path, place: Path, model: Model) -> None:
    table = pa.table(
        {"image": [{"bytes": picture(n), "path": None} for n in range(3)], "label": ["zebra"] * 3}
    )
    pq.write_table(table, tmp_path / "t.parquet")
    with Library.open(place, create_with=model) as library:
        library.add([tmp_path / "t.parquet"])
        with catalogue_of(library) as catalogue:
            lines = list(catalogue.connection.iterdump())
    assert any("t.parquet" in line for line in lines)
    assert not any("zebra" in line for line in lines)


def test_a_moved_source_keeps_keys_and_ids(tmp_path: Path, place: Path, model: Model) -> None:
    photos = fill(tmp_path / "old", 4)
    with Library.open(place, create_with=model) as library:
        library.add([photos])
        before = by_key(library), ids(library)
        shutil.move(photos, tmp_path / "new")
        report = library.add([tmp_path / "new"], moved_from=photos)
        assert counts(report) == (0, 0, 4, 0, 0, 0)
        assert (by_key(library), ids(library)) == before
        assert [source.root for source in library.status().sources] == [str(tmp_path / "new")]
        assert library.search(picture(0), k=1)[0].read() == picture(0)
        assert counts(library.add([tmp_path / "new"])) == (0, 0, 4, 0, 0, 0)

        fill(
            tmp_path / "old", 2, first=10
        )  # another collection at the old place: not the one that moved away
        assert counts(library.add([tmp_path / "new", tmp_path / "old"])) == (2, 0, 4, 0, 0, 0)
        assert len({source.id for source in library.status().sources}) == 2
        assert counts(library.add([tmp_path / "old"])) == (0, 0, 2, 0, 0, 0)


def test_a_source_that_is_gone_is_told_when_it_is_not_found_again(
    tmp_path: Path, place: Path, model: Model
) -> None:
    photos = fill(tmp_path / "old", 2)
    heard: list[str] = []
    with Library.open(place, create_with=model) as library:
        library.add([photos])
        shutil.rmtree(photos)
        library.add(
            [fill(tmp_path / "new", 2, first=50)],
            listener=lambda e: heard.append(e.text) if isinstance(e, Notice) else None,
        )
        assert len(library) == 4
    assert heard == [
        f"{photos} is not there now, and its pictures were not found here; if it is gone for good, "
        f"`sightbook remove {place} {photos}` takes them out"
    ]


def test_a_source_that_vanishes_costs_what_was_not_read_yet(
    tmp_path: Path, place: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = fill(tmp_path / "p", 30)
    monkeypatch.setattr("sightbook.ingest.commit.BATCH", 5)
    import sightbook.model.encode as encoding

    real = encoding.load

    def unplugging(entries, frame, *, jobs=None):  # type: ignore[no-untyped-def]
        for number, item in enumerate(real(entries, frame, jobs=1)):
            if number == 20:  # the 21st is read already
                shutil.move(photos, tmp_path / "away")
            yield item

    monkeypatch.setattr(encoding, "load", unplugging)
    with Library.open(place, create_with=model) as library:
        with pytest.raises(SourceError, match="vanished"):
            library.add([photos])
        assert library.failures() == []
        monkeypatch.setattr(encoding, "load", real)
        shutil.move(tmp_path / "away", photos)
        report = library.add([photos])
        assert counts(report) == (9, 0, 21, 0, 0, 0)
        assert held(library) == content(photos, model)


def test_a_file_that_vanishes_between_scan_and_reading_is_no_failure_row(
    tmp_path: Path, place: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = fill(tmp_path / "p", 3)
    with Library.open(place, create_with=model) as library:
        library.add([photos])
        write(photos / "001.png", picture(44), time=1_700_000_001)
        write(photos / "new.png", picture(45))
        real = Library.model.fget  # the model is opened after the scan

        def deleting(self: Library) -> Model:
            (photos / "001.png").unlink(missing_ok=True)
            (photos / "new.png").unlink(missing_ok=True)
            return real(self)

        monkeypatch.setattr(Library, "model", property(deleting))
        report = library.add([photos])
        assert counts(report) == (0, 0, 2, 2, 0, 2)
        assert [failure.reason for failure in report.failed] == ["the file is gone"] * 2
        assert library.failures() == []
        assert held(library) == content(photos, model)


def test_progress_names_its_stages_and_ends(tmp_path: Path, place: Path, model: Model) -> None:
    photos = fill(tmp_path / "p", 3)
    events: list[Progress] = []
    with Library.open(place, create_with=model) as library:
        library.add([photos], listener=lambda e: events.append(e) if isinstance(e, Progress) else None)
    assert [(event.stage, event.done, event.total) for event in events if event.finished] == [
        ("scan", 3, None),
        ("encode", 3, 3),
    ]


def test_exif_orientation_is_applied(tmp_path: Path, place: Path, model: Model) -> None:
    upright = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 16, 3), np.uint8))
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90° clockwise
    buffer = io.BytesIO()
    turned.save(buffer, "PNG", exif=exif)
    photos = fill(tmp_path / "p", 1)
    write(photos / "turned.png", buffer.getvalue())
    with Library.open(place, create_with=model) as library:
        library.add([photos])
        code = held(library)["turned.png"][1]
    pixels = model.frame.apply(upright)
    assert code == model.pack(model.encode(pixels[None]))[0].tobytes()


_NAMES = st.sampled_from(["a.png", "b.png", "d/c.png", "d/ä.png"])
_STEP = st.one_of(
    st.tuples(st.just("write"), _NAMES, st.integers(0, 9)),
    st.tuples(st.just("break"), _NAMES, st.just(0)),
    st.tuples(st.just("delete"), _NAMES, st.just(0)),
    st.tuples(st.just("remove"), _NAMES, st.just(0)),
    st.tuples(st.just("add"), st.just(""), st.just(0)),
)


@settings(max_examples=15)
@given(st.lists(_STEP, min_size=3, max_size=14))
def test_any_history_ends_like_a_fresh_build(
    tmp_path_factory: pytest.TempPathFactory, model: Model, steps: list[tuple[str, str, int]]
) -> None:
    base = tmp_path_factory.mktemp("history")
    photos = fill(base / "p", 1)
    clock = 1_700_000_100
    seen: dict[str, int] = {}
    used: set[int] = set()
    with Library.open(base / "library", create_with=model) as library:
        library.add([photos])
        for verb, name, number in [*steps, ("add", "", 0)]:
            clock += 1
            if verb == "write":
                write(photos / name, picture(number), clock)
            elif verb == "break":
                write(photos / name, b"broken", clock)
            elif verb == "delete":
                (photos / name).unlink(missing_ok=True)
            elif verb == "remove":
                if seen.pop(name, None) is not None:
                    assert library.remove(name) == 1
            else:
                library.add([photos])
                assert held(library) == content(photos, model)
                now = ids(library)
                assert all(now[path] == id for path, id in seen.items()), "an id changed"
                fresh = {id for path, id in now.items() if path not in seen}
                assert not fresh & used, "an id was used twice"
                used |= fresh
                seen = now


@pytest.mark.parametrize(
    ("sources", "moved_from", "sentence"),
    [
        (["p"], "never", "no source of {library} stood at {base}/never: its sources are {base}/p, {base}/q"),
        (["p", "q"], "p", "needs one whole source, and 2 or single pictures were given"),
        (["q/000.png"], "p", "needs one whole source"),
        (["q"], "p", "{base}/q is in {library} already as a source of its own"),
        (["t.tar"], "p", "{base}/t.tar is a tar and {base}/p was a folder: its pictures have other keys"),
    ],
)
def test_a_move_that_cannot_be_is_refused(
    tmp_path: Path, model: Model, sources: list[str], moved_from: str, sentence: str
) -> None:
    photos, other = fill(tmp_path / "p", 1), fill(tmp_path / "q", 1)
    with tarfile.open(tmp_path / "t.tar", "w") as archive:
        archive.add(photos / "000.png", "000.png")
    with Library.open(tmp_path / "library", create_with=model) as library:
        library.add([photos, other])
        with pytest.raises(LibraryError) as error:
            library.add([tmp_path / name for name in sources], moved_from=tmp_path / moved_from)
        assert sentence.format(library=library.path, base=tmp_path) in str(error.value)
        assert len(library) == 2

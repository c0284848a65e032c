from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightbook.catalogue.catalogue import Catalogue
from sightbook.catalogue.database import transaction
from sightbook.catalogue.rows import MISSING, UNREADABLE, FailureRow, KeyRow, PictureRow
from sightbook.images.pixels.about import About


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    opened = Catalogue.create(tmp_path / "c.sqlite", "f" * 32)
    opened.put_source("s", "folder", "/photos", 1.0)
    yield opened
    opened.close()


def codes(catalogue: Catalogue) -> tuple[list[int], bytes]:
    _, ids, joined = catalogue.codes()
    return list(ids), bytes(joined)


def content(catalogue: Catalogue) -> dict[tuple[str, str], tuple[bytes, ...]]:
    """Digest and packed code by key, of the good pictures."""
    return {(row[1], row[2]): row[4:] for row in catalogue.page(0, 100)}


def row(path: str, number: int = 0, source: str = "s") -> PictureRow:
    return PictureRow(
        source, path, 10 + number, 20 + number, bytes([number]) * 16, About(3, 4), bytes([number, 255])
    )


def failure(path: str, source: str = "s") -> FailureRow:
    return FailureRow(source, path, 7, 8, "it is truncated", 9.0)


def test_rows_come_back_as_they_went_in(catalogue: Catalogue) -> None:
    catalogue.put([row("a/b.jpg", 1), row("c.jpg", 2)], [failure("bad.jpg")])
    known = catalogue.known("s")
    assert known["a/b.jpg"][:4] == (1, 11, 21, 0)
    assert known["bad.jpg"] == (None, -1, -1, UNREADABLE, 7, 8)
    assert catalogue.keys([2, 99]) == {
        2: KeyRow("s", "c.jpg", "folder", "/photos", catalogue.digests([2])[2])
    }
    assert content(catalogue) == {
        ("s", "a/b.jpg"): (b"\1" * 16, b"\1\xff"),
        ("s", "c.jpg"): (b"\2" * 16, b"\2\xff"),
    }
    assert catalogue.failures() == [failure("bad.jpg")]
    assert codes(catalogue) == ([1, 2], b"\1\xff\2\xff")
    assert catalogue.counts()["s"] == (2, 0, 0, 1)


def test_a_changed_picture_keeps_its_id(catalogue: Catalogue) -> None:
    catalogue.put([row("a.jpg", 1), row("b.jpg", 2)])
    catalogue.put([row("a.jpg", 3)])
    assert catalogue.known("s")["a.jpg"][:3] == (1, 13, 23)
    assert codes(catalogue) == ([1, 2], b"\3\xff\2\xff")


def test_ids_are_never_used_again(catalogue: Catalogue) -> None:
    catalogue.put([row("a.jpg"), row("b.jpg")])
    assert catalogue.remove([1, 2]) == 2
    catalogue.put([row("b.jpg")])
    assert catalogue.known("s")["b.jpg"].id == 3


def test_a_failure_takes_a_good_picture_out_of_searches_and_its_return_brings_it_back(
    catalogue: Catalogue,
) -> None:
    catalogue.put([row("a.jpg", 1)])
    catalogue.put([], [failure("a.jpg")])
    assert codes(catalogue)[0] == []
    assert catalogue.known("s")["a.jpg"] == (1, 11, 21, UNREADABLE, 7, 8)
    catalogue.settle("s", back=[1], forget=["a.jpg"], now=5.0)
    assert codes(catalogue) == ([1], b"\1\xff")
    assert catalogue.failures() == []
    assert catalogue.sources()[0].scanned == 5.0


def test_a_good_reading_forgets_the_failure(catalogue: Catalogue) -> None:
    catalogue.put([], [failure("a.jpg")])
    catalogue.put([row("a.jpg")])
    assert catalogue.failures() == []


def test_vanished_pictures_are_missing(catalogue: Catalogue) -> None:
    catalogue.put([row("a.jpg"), row("b.jpg")])
    catalogue.put([], [], [("s", "b.jpg")])
    assert catalogue.known("s")["b.jpg"].state == MISSING
    assert catalogue.counts()["s"] == (1, 1, 0, 0)


def test_every_change_of_what_is_searched_gives_a_new_stamp(catalogue: Catalogue) -> None:
    stamps = [catalogue.stamp]
    catalogue.put([row("a.jpg"), row("b.jpg")])
    stamps.append(catalogue.stamp)
    catalogue.settle("s", missing=[1], now=1.0)
    stamps.append(catalogue.stamp)
    catalogue.remove([2])
    stamps.append(catalogue.stamp)
    assert [int(stamp.split("-")[0]) for stamp in stamps] == [0, 1, 2, 3]
    assert len({stamp.split("-")[1] for stamp in stamps}) == 4
    catalogue.settle("s", now=2.0)
    assert catalogue.stamp == stamps[-1]


def test_names_that_are_not_utf8_are_keys_like_others(catalogue: Catalogue) -> None:
    names = ["caf\udce9.jpg", "cafe\u0301.jpg", "caf\u00e9.jpg", "\u2028\n'\".jpg"]
    catalogue.put([row(name, n) for n, name in enumerate(names)])
    catalogue.put_source("t", "folder", "/odd\udcff", 2.0)
    assert set(catalogue.known("s")) == set(names)
    assert catalogue.sources()[1].root == "/odd\udcff"
    assert [key.path for key in catalogue.keys([1, 2, 3, 4]).values()] == names


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("x/1.jpg", {1}),
        ("/photos/x/1.jpg", {1}),
        ("x", {1, 2}),
        ("x/", {1, 2}),
        ("/photos/x", {1, 2}),
        ("/photos", {1, 2, 3, 4}),
        ("*.jpg", {1, 2, 3, 4}),
        ("x/*", {1, 2}),
        ("*2.jpg", {2}),
        ("y[1].jpg", {3}),
        ("y[12].jpg", {4}),
        ("", set()),
        ("X/1.jpg", set()),
        ("1.jpg", set()),
        ("/phot", set()),
    ],
)
def test_patterns_match_paths_folders_and_globs(catalogue: Catalogue, pattern: str, found: set[int]) -> None:
    catalogue.put([row("x/1.jpg"), row("x/2.jpg"), row("y[1].jpg"), row("y1.jpg")])
    assert catalogue.match(pattern)[0] == found


@pytest.mark.parametrize("path", ["x/1.jpg", "/photos/x/1.jpg", "x", "/photos/x/"])
def test_what_is_named_is_found_by_the_index_of_keys(catalogue: Catalogue, path: str) -> None:
    """A shell hands over thousands of paths, and each look at all rows of a large library takes a second."""
    catalogue.put([row("x/1.jpg"), row("x1.jpg"), row("x", 3), row("x0")], [failure("x/2.jpg")])
    asked: list[str] = []
    catalogue.connection.set_trace_callback(asked.append)
    found = catalogue.match(path)
    assert catalogue.roots_with(path.removeprefix("/photos/")) == ["/photos"]
    catalogue.connection.set_trace_callback(None)
    wanted = ({1}, set()) if path.endswith(".jpg") else ({1, 3}, {("s", "x/2.jpg")})
    assert found == (({1}, wanted[1]) if path.endswith("/") else wanted), "3 is no folder"
    plans = [
        step[3]
        for statement in asked
        if " FROM pictures " in statement or " FROM failures " in statement
        for step in catalogue.connection.execute(f"EXPLAIN QUERY PLAN {statement}")
    ]
    assert plans and all(re.search(r"SEARCH .*\(source=\? AND path[=>]", plan) for plan in plans)


def test_removing_a_source_takes_its_rows_and_no_others(catalogue: Catalogue) -> None:
    catalogue.put_source("t", "tar", "/t.tar", 2.0)
    catalogue.put([row("a.jpg"), row("a.jpg", source="t")], [failure("b.jpg", "t"), failure("b.jpg")])
    assert catalogue.remove([], (), ["t"]) == 1
    assert set(content(catalogue)) == {("s", "a.jpg")}
    assert [row.source for row in catalogue.failures()] == ["s"]
    assert [row.id for row in catalogue.sources()] == ["s"]


def test_an_interrupted_batch_leaves_nothing(catalogue: Catalogue) -> None:
    catalogue.put([row("a.jpg")])
    before = (content(catalogue), catalogue.stamp)
    for error in (KeyboardInterrupt, RuntimeError):
        with pytest.raises(error), transaction(catalogue.connection):
            catalogue.connection.execute("DELETE FROM pictures")
            raise error
    assert (content(catalogue), catalogue.stamp) == before


def test_a_batch_that_does_not_fit_on_the_disk_leaves_the_ones_before(catalogue: Catalogue) -> None:
    catalogue.put([row("a.jpg")])
    pages = catalogue.connection.execute("PRAGMA page_count").fetchone()[0]
    catalogue.connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        catalogue.put([row(f"{n:09}.jpg") for n in range(5000)])
    assert set(content(catalogue)) == {("s", "a.jpg")}
    catalogue.connection.execute("PRAGMA max_page_count = 100000")
    catalogue.put([row("b.jpg")])
    assert set(content(catalogue)) == {("s", "a.jpg"), ("s", "b.jpg")}


def test_a_reader_sees_whole_batches_only(catalogue: Catalogue, tmp_path: Path) -> None:
    reader = Catalogue.read(tmp_path / "c.sqlite")
    with transaction(catalogue.connection):
        catalogue.connection.execute("INSERT INTO sources VALUES ('u', 'folder', '/u', 1, NULL)")
        assert [row.id for row in reader.sources()] == ["s"]
    assert [row.id for row in reader.sources()] == ["s", "u"]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.remove([1])
    reader.close()


_PATHS = st.sampled_from(["a", "b", "c", "d/e"])
_STEP = st.one_of(
    st.tuples(st.just("put"), st.lists(st.tuples(_PATHS, st.integers(0, 200)), max_size=3)),
    st.tuples(st.just("fail"), _PATHS),
    st.tuples(st.just("gone"), _PATHS),
    st.tuples(st.just("back"), _PATHS),
    st.tuples(st.just("remove"), _PATHS),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(_STEP, max_size=12))
def test_any_history_is_that_of_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple]
) -> None:
    catalogue = Catalogue.create(tmp_path_factory.mktemp("c") / "c.sqlite", "f")
    catalogue.connection.execute("PRAGMA synchronous = OFF")
    catalogue.put_source("s", "folder", "/", 0.0)
    rows: dict[str, list] = {}  # path -> [id, number, state]
    failed: set[str] = set()
    used: set[int] = set()
    for verb, what in steps:
        if verb == "put":
            catalogue.put([row(path, number) for path, number in what])
            for path, number in what:
                if path not in rows:
                    id = catalogue.known("s")[path].id
                    assert id not in used
                    used.add(id)
                    rows[path] = [id, number, 0]
                rows[path][1:] = [number, 0]
                failed.discard(path)
        elif verb == "fail":
            catalogue.put([], [failure(what)])
            failed.add(what)
            if what in rows:
                rows[what][2] = UNREADABLE
        elif verb == "gone":
            catalogue.put([], [], [("s", what)])
            if what in rows:
                rows[what][2] = MISSING
        elif verb == "back" and what in rows:
            catalogue.settle("s", back=[rows[what][0]], forget=[what], now=0.0)
            rows[what][2] = 0
            failed.discard(what)
        elif verb == "remove":
            ids, keys = catalogue.match(what)
            gone = {path for path in rows if path == what or path.startswith(what + "/")}
            assert catalogue.remove(ids, keys) == len(gone)
            failed -= {path for path in failed if path == what or path.startswith(what + "/")}
            for path in gone:
                del rows[path]
        good = sorted((id, number) for id, number, state in rows.values() if state == 0)
        assert codes(catalogue) == ([id for id, _ in good], b"".join(bytes([n, 255]) for _, n in good))
        assert {path: known.id for path, known in catalogue.known("s").items() if known.id} == {
            path: value[0] for path, value in rows.items()
        }
        assert {row.path for row in catalogue.failures()} == failed
    catalogue.close()

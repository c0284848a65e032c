"""Searching while a newer engine is built beside the one that answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sightbook.catalogue.catalogue import NAME, Catalogue
from sightbook.errors import LibraryError
from sightbook.ingest.migrate import migrate
from sightbook.library.library import Library
from sightbook.model.model import Model
from sightbook.search import searcher
from sightbook.search.view import View
from tests.library.pictures import fill, picture


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return fill(tmp_path / "photos", 6)


@pytest.fixture
def library(place: Path, model: Model, photos: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    monkeypatch.setattr(searcher, "AT_ONCE", 0)
    with Library.open(place, create_with=model) as library:
        library.add([photos])
        yield library


def ids(library: Library) -> list[int]:
    return sorted(hit.id for hit in library.search(picture(0), 100))


class Gate:
    """Holds every engine that is built until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open, self.entered, self.built = threading.Event(), threading.Event(), 0
        real = View.build

        def build(*arguments: Any) -> View:
            self.entered.set()
            assert self.open.wait(100)
            self.built += 1
            return real(*arguments)

        monkeypatch.setattr(View, "build", build)


def settle(library: Library) -> None:
    for thread in threading.enumerate():
        if thread.name == "sightbook engine":
            thread.join(100)


def test_a_search_answers_from_the_old_state_while_the_new_one_is_read(
    library: Library, place: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ids(library) == [1, 2, 3, 4, 5, 6]
    gate = Gate(monkeypatch)
    with Library.open(place) as other:
        other.add([fill(photos, 9)])
    answers = [ids(library) for _ in range(5)]
    assert answers == [[1, 2, 3, 4, 5, 6]] * 5 and gate.built == 0
    gate.open.set()
    settle(library)
    assert gate.built == 1, "one thread builds, however many searches notice"
    assert ids(library) == list(range(1, 10))


def test_what_was_written_through_the_library_itself_is_found_at_once(library: Library, photos: Path) -> None:
    ids(library)
    library.add([fill(photos, 9)])
    assert ids(library) == list(range(1, 10))
    library.remove([2, 9])
    assert ids(library) == [1, 3, 4, 5, 6, 7, 8]


def test_a_picture_that_is_gone_is_not_among_the_answers_of_an_old_state(
    library: Library, place: Path
) -> None:
    ids(library)
    with Library.open(place) as other:
        other.remove([1])
    assert ids(library) == [2, 3, 4, 5, 6]


def test_threads_that_search_do_not_wait_for_one_another_or_for_the_engine(
    library: Library, place: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids(library)
    gate = Gate(monkeypatch)
    with Library.open(place) as other:
        other.add([fill(photos, 9)])
    found: list[list[int]] = []
    threads = [threading.Thread(target=lambda: found.append(ids(library))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [[1, 2, 3, 4, 5, 6]] * 4
    assert gate.entered.wait(60) and not gate.open.is_set()
    assert len(library) == 9, "nor does anything else of the library wait"
    gate.open.set()
    settle(library)


def test_codes_of_another_model_are_waited_for(library: Library, place: Path, other_model: Model) -> None:
    ids(library)
    migrate(place, other_model)
    assert [hit.id for hit in library.search(picture(3), 1)] == [4]
    assert library.model.fingerprint == other_model.fingerprint


def test_a_small_library_is_always_searched_as_it_is(
    library: Library, place: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searcher, "AT_ONCE", 6)
    ids(library)
    with Library.open(place) as other:
        other.add([fill(photos, 9)])
    assert ids(library) == list(range(1, 10))


def test_an_engine_that_cannot_be_built_beside_is_told_by_the_next_search(
    library: Library, place: Path, photos: Path
) -> None:
    ids(library)
    with Library.open(place) as other:
        other.add([fill(photos, 9)])
        with closing(Catalogue.write(place / NAME)) as catalogue:
            catalogue.connection.execute("UPDATE pictures SET code = x'00' WHERE id = 3")
    assert ids(library) == [1, 2, 3, 4, 5, 6]
    settle(library)
    with pytest.raises(LibraryError, match="codes of unequal length"):
        ids(library)


def test_where_no_thread_can_be_started_the_engine_is_built_by_the_search_itself(
    library: Library, place: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids(library)
    with Library.open(place) as other:
        other.add([fill(photos, 9)])

    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        assert ids(library) == [1, 2, 3, 4, 5, 6], "as where one was"
        assert ids(library) == list(range(1, 10))
    library.remove([1])
    assert ids(library) == list(range(2, 10)), "and nobody waits for what nobody builds"

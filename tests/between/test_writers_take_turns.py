"""A second writer waits, a listener stops a running `add`, a closed library says so, another process opens it anew."""

from __future__ import annotations

import contextvars
import itertools
import multiprocessing
import pickle
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sightbook.catalogue.lock import waiting, writer_lock
from sightbook.errors import ConfigError, LibraryError
from sightbook.ingest.migrate import migrate
from sightbook.library.care.check import check
from sightbook.library.library import Library
from sightbook.model.model import Model
from sightbook.progress import Notice, Progress
from tests.library.held import held
from tests.library.pictures import content, fill, picture


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return fill(tmp_path / "photos", 6)


@pytest.fixture
def library(place: Path, model: Model) -> Library:
    return Library.open(place, create_with=model)


class Writer(threading.Thread):
    """Writes until it is told to end."""

    def __init__(self, library: Path) -> None:
        super().__init__()
        self.library, self.began, self.told = library, threading.Event(), threading.Event()

    def run(self) -> None:
        with writer_lock(self.library):
            self.began.set()
            self.told.wait(100)

    def __enter__(self) -> Writer:
        self.start()
        assert self.began.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self.told.set()
        self.join()


@pytest.mark.parametrize("what", ["add", "remove", "migrate", "check"])
def test_a_second_writer_waits_as_long_as_it_is_told(
    library: Library, photos: Path, other_model: Model, what: str
) -> None:
    library.add([photos])
    writer, told = Writer(library.path), []

    def hear(event: object) -> None:
        if isinstance(event, Notice) and "waiting for it" in event.text:
            told.append(event.text.rpartition("waiting for it")[2])
            if len(told) == 2:
                writer.told.set()

    writing: dict[str, Callable[[float], object]] = {
        "add": lambda wait: library.add([photos], wait=wait, listener=hear),
        "remove": lambda wait: library.remove(1, wait=wait),
        "migrate": lambda wait: migrate(library.path, other_model, wait=wait, listener=hear),
    }

    def checking(wait: float) -> object:
        with waiting(wait):
            return check(library.path)

    act = writing.get(what, checking)
    with writer:
        with pytest.raises(
            LibraryError, match=r"is being written by process \d+ since .*: wait for it to end"
        ):
            act(0)
        with pytest.raises(LibraryError, match=r"after 0.1 s of waiting: wait for it to end"):
            act(0.1)
        if what in ("remove", "check"):  # which tell nobody that they wait
            threading.Timer(0.3, writer.told.set).start()
        act(60)
    if what in ("add", "migrate"):
        assert told == [", 0.1 s at most", ", 60 s at most"]


@pytest.mark.parametrize("turns", [1, 2, 5])
def test_who_had_to_wait_is_named_as_who_had_not(place: Path, turns: int) -> None:
    place.mkdir()
    writers = [Writer(place) for _ in range(turns + 1)]
    with writers[0]:
        for before, writer in itertools.pairwise(writers):
            with waiting(60, lambda text, before=before: before.told.set()):  # type: ignore[misc]
                context = contextvars.copy_context()
            thread = threading.Thread(target=context.run, args=(writer.run,))
            thread.start()
            assert writer.began.wait(60)
            with pytest.raises(LibraryError) as raised, writer_lock(place):
                pass
            assert re.search(r"is being written by process \d+ since \S+ \S+: wait", str(raised.value))
            before.told.set()
        writers[-1].told.set()
        thread.join()
    assert (place / "writer.lock").read_bytes() == b""


@pytest.mark.parametrize("wait", [-1, "3", None, True, float("nan")])
def test_a_wait_that_is_no_time_is_refused(library: Library, photos: Path, wait: object) -> None:
    with pytest.raises(ConfigError, match=r"wait is .*: give seconds, 0 or more"):
        library.add([photos], wait=wait)  # type: ignore[arg-type]


class Enough(Exception):
    """Raised by the listener of a test."""


@pytest.mark.parametrize("stop", ["at a picture's failure", "at progress", "in the scan"])
def test_a_listener_that_raises_stops_the_add_and_what_was_encoded_is_kept(
    library: Library, photos: Path, model: Model, stop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sightbook.progress.EVERY_SECONDS", 0.0)
    (photos / "003.png").write_bytes(b"no picture")

    def listen(event: Progress | Notice) -> None:
        if stop == "at a picture's failure" and isinstance(event, Notice) and "003.png" in event.text:
            raise Enough
        if isinstance(event, Progress):
            if stop == "in the scan" and event.stage == "scan" and event.done == 2:
                raise Enough
            if stop == "at progress" and event.stage != "scan" and event.done >= 2:
                raise Enough

    with pytest.raises(Enough):
        library.add([photos], jobs=1, listener=listen)
    kept = held(library)
    if stop == "at a picture's failure":
        assert set(kept) == {"000.png", "001.png", "002.png"}
    assert kept.items() <= content(photos, model).items()
    report = library.add([photos])
    assert report.added == 5 - len(kept) and held(library) == content(photos, model)


def test_a_closed_library_says_that_it_is_closed(library: Library, photos: Path) -> None:
    library.add([photos])
    library.close()
    library.close()
    uses: list[Callable[[], object]] = [
        lambda: library.search(picture(0)),
        lambda: library.add([photos]),
        lambda: library.remove(1),
        library.status,
        library.failures,
        library.codes,
        lambda: next(library.rows(3)),
        lambda: len(library),
        lambda: library.model,
        lambda: library.facts,
        lambda: pickle.dumps(library),
    ]
    for use in uses:
        with pytest.raises(
            LibraryError, match=r"was closed: open it again \(Library.open\) before you use it"
        ):
            use()
    with Library.open(library.path) as opened:
        assert len(opened) == 6


def test_a_library_is_pickled_by_its_place(
    library: Library, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.add([photos])
    monkeypatch.chdir(library.path.parent)
    with Library.open(library.path.name) as relative:
        data = pickle.dumps(relative)
        assert len(data) < 500, "nothing of its content"
        monkeypatch.chdir("/")
        with pickle.loads(data) as again:
            assert [hit.id for hit in again.search(picture(2), 1)] == [3]


def _first(library: Library) -> int:
    return library.search(picture(4), 1)[0].id


def test_a_library_goes_to_other_processes(library: Library, photos: Path) -> None:
    library.add([photos])
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_first, (library,)) == 5

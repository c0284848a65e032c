"""Real processes: killed, interrupted, two at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from sightbook.errors import LibraryError
from sightbook.library.library import Library
from sightbook.model.model import Model
from tests.library.held import by_key, held
from tests.library.pictures import content, fill, picture, write

_ADD = """
import os, sys
os.environ["OMP_NUM_THREADS"] = "1"
from sightbook.catalogue.catalogue import Catalogue
from sightbook.ingest import commit
from sightbook.library.library import Library
commit.BATCH = 16
stops, put, batches = [int(number) for number in sys.argv[5:]], Catalogue.put, 0

def put_and_wait(*given, **named):
    global batches
    put(*given, **named)
    batches += 1
    if batches in stops:
        sys.stdin.readline()

Catalogue.put = put_and_wait
with Library.open(sys.argv[1], create_with=sys.argv[2]) as library:
    print("open", flush=True)
    library.add([sys.argv[3]], jobs=int(sys.argv[4]))
print("done", flush=True)
"""

LATE = 19  # of 21 batches


def start(
    library: Path, model: Model, photos: Path, jobs: int = 1, stops: tuple[int, ...] = ()
) -> subprocess.Popen[str]:
    """Adds `photos` in batches of 16. After the batches of `stops` it waits for a line, or for the end of its input, so
    that it is not at its end already when the test acts, however slow the test is."""
    arguments = [str(library), str(model.folder), str(photos), str(jobs), *map(str, stops)]
    return subprocess.Popen(
        [sys.executable, "-c", _ADD, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def committed(path: Path) -> int:
    """Pictures a reader sees, 0 while there is no library."""
    try:
        with Library.open(path) as library:
            return len(library)
    except LibraryError:
        return 0


def wait_for(child: subprocess.Popen[str], path: Path, count: int) -> int:
    """Waits until `count` pictures are committed and returns how many then are: those are acknowledged."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        seen = committed(path)
        if seen >= count:
            return seen
        assert child.poll() is None, child.communicate()
        time.sleep(0.005)
    raise AssertionError("the child made no progress")


def left_of(session: int) -> list[int]:
    """Processes of the session, as /proc tells them: a decoding process has a group of its own."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone meanwhile
            state, _, _, its = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(its) == session and state != "Z":
                found.append(int(folder.name))
    return found


def gone(session: int) -> bool:
    """Whether every process of the session has ended, or does so soon."""
    deadline = time.monotonic() + 60
    while (left := left_of(session)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for process in left:
        os.kill(process, signal.SIGKILL)
    return not left


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some 4 MB, so that decoding processes are started; in 21 batches."""
    return fill(tmp_path_factory.mktemp("photos"), 330, side=64)


@pytest.mark.parametrize(("after", "jobs"), [(1, 1), (60, 2), (150, 1)])
def test_kill_9_costs_nothing_that_was_committed(
    place: Path, model: Model, photos: Path, after: int, jobs: int
) -> None:
    child = start(place, model, photos, jobs, stops=(LATE,))
    acknowledged = wait_for(child, place, after)
    child.kill()
    child.communicate()
    assert gone(child.pid), "decoding processes outlived their parent"
    with Library.open(place) as library:
        kept = len(library)
        assert acknowledged <= kept < 330
        before = by_key(library)
        report = library.add([photos])
        assert (report.added, report.unchanged, report.failed) == (330 - kept, kept, [])
        after_all = by_key(library)
        assert before.items() <= after_all.items()
        assert {path: value for (_, path), value in after_all.items()} == content(photos, model)


@pytest.mark.parametrize("seconds", [0.15, 0.3, 0.4, 0.5])
def test_kill_9_at_any_moment_of_the_making_leaves_no_trap(
    place: Path, model: Model, tmp_path: Path, seconds: float
) -> None:
    photos = fill(tmp_path / "p", 40)
    child = start(place, model, photos)
    time.sleep(seconds)
    child.kill()
    child.communicate()
    with Library.open(place, create_with=model) as library:
        library.add([photos])
        assert held(library) == content(photos, model)


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_keeps_what_was_encoded_and_leaves_no_process(
    place: Path, model: Model, photos: Path, jobs: int
) -> None:
    child = start(place, model, photos, jobs, stops=(LATE,))
    acknowledged = wait_for(child, place, 30)
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    _, errors = child.communicate(timeout=100)
    assert child.returncode == -signal.SIGINT, errors
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert errors.count("Traceback") == 1, errors
    assert gone(child.pid)
    with Library.open(place) as library:
        kept = len(library)
        assert acknowledged <= kept <= 330
        assert library.add([photos]).unchanged == kept


def test_one_process_adds_while_another_searches_whole_batches(
    place: Path, model: Model, photos: Path
) -> None:
    Library.open(place, create_with=model).close()
    child = start(place, model, photos, stops=(3, 9, LATE))
    awaited = [48, 144, 16 * LATE]
    seen = [0]
    x = model.embed(model.prepare(picture(3, 64))[None])
    with Library.open(place) as library:
        while child.poll() is None:
            if awaited and seen[-1] >= awaited[0]:
                awaited.pop(0)
                child.stdin.write("\n")
                child.stdin.flush()
            hits = library.search_embeddings(x, k=1000)
            seen.append(len(hits))
            assert seen[-1] >= seen[-2]
            assert seen[-1] % 16 == 0 or seen[-1] == 330, "half a batch was seen"
            assert [np.float32(hit.raw) for hit in hits] == sorted(
                (np.float32(h.raw) for h in hits), reverse=True
            )
        assert child.communicate()[0].split() == ["open", "done"]
        assert len(library.search_embeddings(x, k=1000)) == 330
    assert {48, 144, 16 * LATE} <= set(seen), "the reader never saw the library grow"


def test_a_second_process_is_told_who_writes(place: Path, model: Model, photos: Path, tmp_path: Path) -> None:
    child = start(place, model, photos, stops=(LATE,))
    wait_for(child, place, 1)
    os.kill(child.pid, signal.SIGSTOP)
    try:
        with Library.open(place) as library, pytest.raises(LibraryError) as error:
            library.add([write(tmp_path / "x.png", picture(1))])
        assert f"{place} is being written by process {child.pid} since" in str(error.value)
    finally:
        os.kill(child.pid, signal.SIGCONT)
        child.communicate()
    with Library.open(place) as library:  # a holder that is gone holds nothing
        assert library.add([photos]).unchanged == 330

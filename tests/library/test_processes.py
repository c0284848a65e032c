"""Real processes: killed, interrupted, two at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
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
from sightbook.ingest import commit
from sightbook.library.library import Library
commit.BATCH = 16
with Library.open(sys.argv[1], create_with=sys.argv[2]) as library:
    print("open", flush=True)
    library.add([sys.argv[3]], jobs=int(sys.argv[4]))
print("done", flush=True)
"""


def start(library: Path, model: Model, photos: Path, jobs: int = 1) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _ADD, str(library), str(model.folder), str(photos), str(jobs)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


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


def gone(group: int, seconds: float = 10) -> bool:
    """Whether every process of the group has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    os.killpg(group, signal.SIGKILL)
    return False


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some 4 MB, so that decoding processes are started when more than one is asked for."""
    return fill(tmp_path_factory.mktemp("photos"), 330, side=64)


@pytest.mark.parametrize(("after", "jobs"), [(1, 1), (60, 2), (150, 1)])
def test_kill_9_costs_nothing_that_was_committed(
    place: Path, model: Model, photos: Path, after: int, jobs: int
) -> None:
    child = start(place, model, photos, jobs)
    acknowledged = wait_for(child, place, after)
    child.kill()
    child.wait()
    child.stdout.close(), child.stderr.close()
    with Library.open(place) as library:
        kept = len(library)
        assert acknowledged <= kept < 330
        before = by_key(library)
        report = library.add([photos])
        assert (report.added, report.unchanged, report.failed) == (330 - kept, kept, [])
        after_all = by_key(library)
        assert before.items() <= after_all.items()
        assert {path: value for (_, path), value in after_all.items()} == content(photos, model)
    assert gone(child.pid), "decoding processes outlived their parent"


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
    child = start(place, model, photos, jobs)
    acknowledged = wait_for(child, place, 30)
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    _, errors = child.communicate(timeout=30)
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
    child = start(place, model, photos)
    seen = [0]
    x = model.embed(model.prepare(picture(3, 64))[None])
    with Library.open(place) as library:
        while child.poll() is None:
            hits = library.search_embeddings(x, k=1000)
            seen.append(len(hits))
            assert seen[-1] >= seen[-2]
            assert seen[-1] % 16 == 0 or seen[-1] == 330, "half a batch was seen"
            assert [np.float32(hit.raw) for hit in hits] == sorted(
                (np.float32(h.raw) for h in hits), reverse=True
            )
        assert child.communicate()[0].split() == ["open", "done"]
        assert len(library.search_embeddings(x, k=1000)) == 330
    assert len(set(seen)) > 2, "the reader never saw the library grow"


def test_a_second_process_is_told_who_writes(place: Path, model: Model, photos: Path, tmp_path: Path) -> None:
    child = start(place, model, photos)
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

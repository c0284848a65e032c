"""Loading many pictures in several processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightbook.cores import cores
from sightbook.errors import ConfigError, PictureError, SightbookError, SourceError
from sightbook.images.entry import Entry
from sightbook.images.load import apart, crew, pool
from sightbook.images.load.pool import Failed, Loaded, digest, load
from sightbook.images.pixels.decode import decode
from sightbook.images.pixels.frame import Frame
from sightbook.images.pixels.guards import Guards
from sightbook.images.sources import open_sources
from tests.images.pictures import encoded, gradient, write_folder, write_parquet, write_tar

FRAME = Frame(16, 20)
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
posix = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes for the smallest input, and small batches, so that a few pictures take every path."""
    monkeypatch.setattr(pool, "FEW_BYTES", 0)
    monkeypatch.setattr(pool, "BATCH_PICTURES", 4)


@dataclass(frozen=True)
class Made:
    """An entry without a file, whose reading does what it is told."""

    path: str
    act: str = ""
    size: int = 1000
    origin: None = None

    @property
    def key(self) -> tuple[str, str]:
        return "made", self.path

    def read(self, limit: int | None = None) -> bytes:
        if self.act == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.act == "exit":
            os._exit(3)
        if self.act == "die once" and not Path(self.path).exists():
            Path(self.path).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.act == "gone":
            raise SourceError("The source vanished.")
        if self.act == "bad":
            raise PictureError("it is bad")
        if self.act == "memory":
            raise MemoryError
        if self.act == "slow":
            time.sleep(0.3)
        if self.act == "sleep for ever":
            time.sleep(1000)
        if self.act == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        if self.act == "spin":  # in C, holding Python's lock: nothing in the process can interrupt it
            pow(3, 10**9)
        if self.act == "chatty":
            os.write(1, b"a C library prints here")
        return encoded(gradient(seed=len(self.path)))


def plain(outcomes: list[Loaded | Failed]) -> list[object]:
    return [
        (o.entry, o.digest, o.pixels.tobytes(), o.about) if isinstance(o, Loaded) else (o.entry, o.reason)
        for o in outcomes
    ]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    """Good and bad pictures of all three kinds of source."""
    place = tmp_path_factory.mktemp("mixed ü")
    good = {f"{n:02}.png": encoded(gradient(20 + n, 30, n)) for n in range(12)}
    bad = {"05.jpg": b"text", "06.jpg": b"", "07.png": good["07.png"][:80], "99.tif": b"II*\0"}
    folder = write_folder(place / "a folder", good | bad)
    tar = write_tar(place / "x.tar", good | bad)
    table = write_parquet(place / "x.parquet", [*good.values(), None, b"", b"text"], row_group_size=5)
    return list(open_sources([folder, tar, table]).entries())


def test_two_jobs_give_what_one_gives_in_the_order_of_the_entries(mixed: list[Entry], eager: None) -> None:
    one, two = list(load(mixed, FRAME, jobs=1)), list(load(mixed, FRAME, jobs=2))
    assert plain(one) == plain(two)
    assert [o.entry for o in two] == mixed
    failed = [o for o in two if isinstance(o, Failed)]
    assert len(failed) == 4 + 4 + 3 and all(o.reason and "\n" not in o.reason for o in failed)


def test_what_is_loaded_is_the_framed_picture_and_the_hash_of_its_bytes(
    mixed: list[Entry], eager: None
) -> None:
    for jobs in (1, 2):
        for outcome in load(mixed[:3], FRAME, jobs=jobs):
            assert isinstance(outcome, Loaded)
            data = outcome.entry.read()
            full = decode(data)
            assert outcome.digest == digest(data) == blake2b(data, digest_size=16).digest()
            assert (outcome.about.height, outcome.about.width) == full.shape[:2]
            assert (
                np.array_equal(outcome.pixels, FRAME.apply(Image.fromarray(full)))
                and outcome.pixels.dtype == np.uint8
            )
            assert outcome.pixels.flags.writeable and outcome.pixels.shape == (16, 16, 3)


def test_few_pictures_start_no_crew(mixed: list[Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "Crew", lambda *_: pytest.fail("processes were started"))
    assert len(list(load(mixed, FRAME, jobs=8))) == len(mixed)
    monkeypatch.setattr(pool, "FEW_BYTES", 0)
    for jobs in (1, 2):
        with pytest.raises(pytest.fail.Exception):
            list(load(mixed, FRAME, jobs=jobs))


def test_of_few_pictures_those_whose_decoder_may_die_are_decoded_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By what they are, whatever their names say."""
    files = {"a.jpg": encoded(gradient(), "TIFF"), "b.png": encoded(gradient(9))}
    asked: list[bytes] = []

    def die(data: bytes, *_: object) -> None:
        asked.append(data[:2])
        raise PictureError("the process decoding it died (SIGSEGV)")

    monkeypatch.setattr(apart, "_ask", die)
    first, second = load(open_sources([write_tar(tmp_path / "x.tar", files)]).entries(), FRAME, jobs=1)
    assert isinstance(first, Failed) and first.reason == "the process decoding it died (SIGSEGV)"
    assert isinstance(second, Loaded) and asked == [b"II"]


@pytest.mark.parametrize(
    "act", ["sleep for ever", pytest.param("stop", marks=posix), pytest.param("spin", marks=linux)]
)
def test_a_picture_whose_decoder_stands_still_is_given_up_and_named(eager: None, act: str) -> None:
    entries = [Made("a"), Made("b", act), Made("c"), Made("d"), Made("e")]
    outcomes = list(load(entries, FRAME, jobs=1, guards=Guards(seconds=3)))
    assert [type(o) for o in outcomes] == [Loaded, Failed, Loaded, Loaded, Loaded]
    assert isinstance(outcomes[1], Failed)
    assert outcomes[1].reason == (
        "reading and decoding it took longer than 3 s (SIGHTBOOK_SECONDS raises the limit)"
    )


def test_a_limit_of_time_that_was_set_holds_for_few_pictures_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    large = encoded(np.zeros((9000, 9000, 3), np.uint8))  # 240 kB, a second of work
    entries = open_sources(
        [write_folder(tmp_path / "f", {"a.png": encoded(gradient()), "b.png": large})]
    ).entries()
    monkeypatch.setenv("SIGHTBOOK_SECONDS", "0.05")
    outcomes = list(load(entries, FRAME, jobs=1))
    assert isinstance(outcomes[1], Failed)
    assert (
        outcomes[1].reason
        == "reading and decoding it took longer than 0.05 s (SIGHTBOOK_SECONDS raises the limit)"
    )


def test_many_slow_pictures_are_no_picture_that_stands_still(
    eager: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "BATCH_PICTURES", 16)
    entries = [Made(name, "slow") for name in "abcdefghijklmnop"]  # a batch takes longer than one picture may
    outcomes = list(load(entries, FRAME, jobs=1, guards=Guards(seconds=4)))
    assert [type(o) for o in outcomes] == [Loaded] * 16


def test_no_entries_give_nothing(eager: None) -> None:
    assert list(load([], FRAME, jobs=2)) == []


def test_jobs_below_one_are_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        load([], FRAME, jobs=0)
    assert cores() >= 1


def test_the_guards_reach_every_process(eager: None, tmp_path: Path) -> None:
    entries = list(
        open_sources([write_folder(tmp_path / "f", {"a.png": encoded(gradient(100, 100))})]).entries()
    )
    for jobs in (1, 2):
        (pixels,) = load(entries, FRAME, jobs=jobs, guards=Guards(megapixels=0.001))
        (size,) = load(entries, FRAME, jobs=jobs, guards=Guards(megabytes=1e-5))
        assert isinstance(pixels, Failed) and "megapixels" in pixels.reason
        assert isinstance(size, Failed) and "over the limit of 1e-05 MB" in size.reason


@posix
@pytest.mark.parametrize("act", ["die", "exit"])
def test_a_picture_that_kills_its_process_costs_itself_and_no_other(act: str, eager: None) -> None:
    entries = [Made(str(n), act if n in (5, 13) else "") for n in range(20)]
    outcomes = list(load(entries, FRAME, jobs=2))  # type: ignore[arg-type]
    assert [o.entry for o in outcomes] == entries
    failed = {o.entry.path: o.reason for o in outcomes if isinstance(o, Failed)}
    how = "SIGKILL" if act == "die" else "exit 3"
    assert failed == dict.fromkeys(("5", "13"), f"the process decoding it died ({how})")


@posix
def test_a_process_killed_by_chance_costs_nothing(eager: None, tmp_path: Path) -> None:
    entries = [Made(str(tmp_path / str(n)), "die once" if n == 6 else "") for n in range(12)]
    assert all(isinstance(o, Loaded) for o in load(entries, FRAME, jobs=2))  # type: ignore[arg-type]


@linux
def test_a_process_killed_from_outside_costs_at_most_the_picture_it_worked_on(eager: None) -> None:
    entries = [Made(str(n), "slow" if n == 2 else "") for n in range(16)]
    outcomes = load(entries, FRAME, jobs=2)  # type: ignore[arg-type]
    first = next(outcomes)
    workers = children(2)
    assert len(workers) == 2
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    rest = [first, *outcomes]
    assert [o.entry for o in rest] == entries and sum(isinstance(o, Failed) for o in rest) == 0


def test_errors_of_one_picture_are_its_failure(eager: None) -> None:
    acts = ["bad", "memory", "", "chatty", ""]
    for jobs in (1, 2):
        entries = [Made(str(n), "" if jobs == 1 and act == "chatty" else act) for n, act in enumerate(acts)]
        outcomes = list(load(entries, FRAME, jobs=jobs))  # type: ignore[arg-type]
        assert [isinstance(o, Loaded) for o in outcomes] == [False, False, True, True, True]
        assert [o.reason for o in outcomes if isinstance(o, Failed)] == [
            "it is bad",
            "there is not enough memory to load it",
        ]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_source_that_vanishes_ends_the_stream_after_all_before_it(jobs: int, eager: None) -> None:
    entries = [Made(str(n), "gone" if n >= 6 else "") for n in range(20)]
    seen: list[str] = []
    with pytest.raises(SourceError, match="vanished"):
        seen.extend(o.entry.path for o in load(entries, FRAME, jobs=jobs))  # type: ignore[arg-type]
    assert seen == ["0", "1", "2", "3", "4", "5"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_real_folder_removed_meanwhile(jobs: int, eager: None, tmp_path: Path) -> None:
    root = write_folder(tmp_path / "f", {f"{n:03}.png": encoded(gradient(seed=n)) for n in range(100)})
    stream = load(open_sources([root]).entries(), FRAME, jobs=jobs)
    next(stream)
    shutil.rmtree(root)
    with pytest.raises(SourceError, match="vanished"):
        list(stream)


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_of_the_entries_comes_after_all_before_it(jobs: int, eager: None) -> None:
    def entries() -> Iterator[Made]:
        for n in range(9):
            yield Made(str(n))
        raise SourceError("The tar file is cut short.")

    seen: list[str] = []
    with pytest.raises(SourceError, match="cut short"):
        seen.extend(o.entry.path for o in load(entries(), FRAME, jobs=jobs))  # type: ignore[arg-type]
    assert seen == [str(n) for n in range(9)]


def test_only_a_bounded_number_of_entries_is_under_way(eager: None) -> None:
    pulled = 0

    def entries() -> Iterator[Made]:
        nonlocal pulled
        while True:
            pulled += 1
            yield Made("x")

    stream = load(entries(), FRAME, jobs=2)  # type: ignore[arg-type]
    for _ in range(10):
        next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert pulled <= 12 + (2 * 2 + 2) * 4


def children(count: int) -> list[int]:
    """The decoding processes of this process, as /proc tells them, once there are `count`."""
    until = time.monotonic() + 60
    while len(found := _children()) < count and time.monotonic() < until:
        time.sleep(0.01)  # one that was just started has no command line yet
    return found


def _children() -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            mine = (
                parent == os.getpid() and b"sightbook.images.load.worker" in (folder / "cmdline").read_bytes()
            )
        except (OSError, ValueError, IndexError):  # not a process, or gone meanwhile
            continue
        if mine:
            found.append(int(folder.name))
    return found


def alive(pids: list[int], seconds: float) -> list[int]:
    """Which of `pids` are still there after so long."""
    until = time.monotonic() + seconds
    while (left := [pid for pid in pids if running(pid)]) and time.monotonic() < until:
        time.sleep(0.02)
    return left


def running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


@linux
@pytest.mark.parametrize("how", ["to the end", "closed", "raised", "forgotten"])
def test_no_process_remains_when_the_stream_ends(how: str, eager: None) -> None:
    stream = load(
        [Made(str(n), "gone" if how == "raised" and n == 10 else "") for n in range(40)], FRAME, jobs=2
    )  # type: ignore[misc]
    next(stream)
    workers = children(2)
    assert len(workers) == 2
    if how == "to the end":
        list(stream)
    elif how == "closed":
        stream.close()  # type: ignore[attr-defined]
    elif how == "raised":
        with pytest.raises(SourceError):
            list(stream)
    else:
        del stream
    assert alive(workers, 0) == []


PROGRAM = """
import os, signal, sys
from sightbook.images.load import pool
from tests.images.test_pool import FRAME, Made, children
pool.FEW_BYTES = 0
for n, outcome in enumerate(pool.load((Made(str(n)) for n in range(10**9)), FRAME, jobs=2)):
    if n == 10:
        print(*children(2), flush=True)
"""


@linux
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_program_leaves_no_processes(sent: signal.Signals) -> None:
    # Without a `__main__` guard, as a script of a user would be.
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        assert program.stdout is not None and program.stderr is not None
        workers = [int(pid) for pid in program.stdout.readline().split()]
        assert len(workers) == 2 and all(map(running, workers))
        os.killpg(program.pid, sent)  # the whole group, as a terminal sends Ctrl-C
        said = program.communicate(timeout=100)[1]
    finally:
        program.kill()
        program.communicate()
    assert alive(workers, 60) == []
    assert said.count("Traceback") == (1 if sent is signal.SIGINT else 0), said


@posix
def test_processes_that_cannot_start_are_one_error(
    eager: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 7\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(SightbookError, match=r"do not start \(exit 7\).*--jobs 1"):
        list(load([Made("x")] * 30, FRAME, jobs=2))  # type: ignore[list-item]
    monkeypatch.setattr(sys, "executable", "/nothing/here")
    with pytest.raises(SightbookError, match="cannot be started"):
        list(load([Made("x")] * 30, FRAME, jobs=2))  # type: ignore[list-item]


def test_one_process_that_cannot_start_leaves_the_work_to_the_others(
    eager: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, started = crew.Process, []

    def process(*settings: object) -> object:
        started.append(settings)
        if len(started) == 1:
            raise SightbookError("no memory")
        return real(*settings)  # type: ignore[arg-type]

    monkeypatch.setattr(crew, "Process", process)
    assert len(list(load([Made("x")] * 30, FRAME, jobs=2))) == 30  # type: ignore[list-item]


def test_a_process_imports_nothing_heavy() -> None:
    heavy = [
        "torch",
        "pydantic",
        "pyarrow",
        "faiss",
        "onnxruntime",
        "typer",
        "rich",
        "loky",
        "transformers",
        "pillow_heif",
    ]
    code = f"import sys, sightbook.images.load.worker; print([m for m in {heavy} if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


@pytest.mark.real
@pytest.mark.skipif("SIGHTBOOK_DATA" not in os.environ, reason="SIGHTBOOK_DATA is not set")
def test_real_pictures_load_alike_in_one_process_and_in_two() -> None:
    data = Path(os.environ["SIGHTBOOK_DATA"])
    for spec, frame, count in (
        (data / "clothing/photos", Frame(64, 72), 300),
        (data / "cifar10/test.parquet", Frame(32, 32), 3000),
    ):
        entries = [entry for entry, _ in zip(open_sources([spec]).entries(), range(count), strict=False)]
        one = list(load(entries, frame, jobs=1))
        assert all(isinstance(o, Loaded) for o in one)
        assert plain(one) == plain(list(load([replace(e) for e in entries], frame, jobs=2)))

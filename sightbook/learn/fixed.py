"""Features of the fixed view of every picture, computed once: what a described model is learned from.

Data flow: entries → `images.load.pool.load` (decoded to the encoder's view) → encoder.onnx by onnxruntime, or the
network on a GPU → float16 in a mapped file, a row a picture, beside it whose they are (`model.seen`) → `Fixed`.

The file belongs to what made it (encoder, pictures, frame); a run that was stopped goes on with the pictures that are
left, anything else is made anew.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sightbook.describe.learn import BANK, SEED, sample
from sightbook.describe.vectors import halved
from sightbook.errors import ConfigError
from sightbook.files import write_atomic
from sightbook.images.entry import Entry
from sightbook.images.load.pool import Failed, Loaded, load
from sightbook.images.pixels.frame import Frame
from sightbook.interrupt import deferred_interrupt
from sightbook.model.seen import RECORD, Seen, records
from sightbook.progress import Listener, Meter

NAME = "fixed"
BATCH = 64  # pictures in one forward pass
_RECORD_SECONDS = 5.0
_SUFFIXES = (".f16", ".pictures", ".json")  # features, records, how far both are

Forward = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass
class Fixed:
    """rows (n, F) float16 in the order of the pictures' content, so that neither names nor labels matter: all
    `pictures` of them, or as many as learning looks at. failed: the entries that could not be read, and why."""

    rows: NDArray[np.float16]
    pictures: int
    failed: list[tuple[Entry, str]]
    path: Path
    kept: bool

    def discard(self) -> None:
        """Removes the files, unless they are kept for other runs."""
        if not self.kept:
            for suffix in _SUFFIXES:
                self.path.with_suffix(suffix).unlink(missing_ok=True)


@dataclass
class File:
    """The mapped rows (N, F) and records (N,), and how far they are: entries gone through, rows written, failures as
    [place of the entry, reason]."""

    path: Path
    key: str
    rows: NDArray[np.float16]
    records: NDArray[Any]
    done: int = 0
    written: int = 0
    failed: list[list[Any]] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path, key: str, count: int, features: int) -> File:
        """The file as an earlier run left it, where it was of the same pictures and encoder; else an empty one."""
        said = _read(path, key)
        sizes = (count * features * 2, count * RECORD.itemsize)
        data, pictures = (path.with_suffix(suffix) for suffix in _SUFFIXES[:2])
        if said is None or [_size(data), _size(pictures)] != [*sizes]:
            path.with_suffix(".json").unlink(
                missing_ok=True
            )  # before the data changes: it speaks for other data
            said = {}
        mode: Any = "r+" if said else "w+"
        return cls(
            path,
            key,
            np.memmap(data, np.float16, mode, shape=(count, features)),
            np.memmap(pictures, RECORD, mode, shape=(count,)),
            **said,
        )

    def add(self, made: NDArray[np.float32], pictures: Sequence[Loaded]) -> None:
        """The features of further pictures."""
        end = self.written + len(made)
        self.rows[self.written : end] = halved(made)
        self.records[self.written : end] = records(pictures)
        self.written = end

    def record(self) -> None:
        """What is in the file by now stays, however the run ends."""
        for each in (self.rows, self.records):
            cast(Any, each).flush()
        content = {name: getattr(self, name) for name in ("key", "done", "written", "failed")}
        write_atomic(self.path.with_suffix(".json"), json.dumps(content))


def fill(
    entries: Sequence[Entry],
    frame: Frame,
    forward: Forward,
    features: int,
    encoder: str,
    *,
    folder: Path,
    keep: bool,
    limit_gib: float,
    jobs: int | None,
    listener: Listener,
) -> Fixed:
    """Features of all entries; those in the file are not computed again.

    forward: pixels (B, S, S, 3) uint8 → (B, features) float32; encoder: names it. keep: the file has a name of its own
    and stays for other runs. Ctrl-C loses seconds. ConfigError above the limit or the free disk space.
    """
    key = _key(entries, frame, encoder)
    path = folder / (f"{NAME}-{key}" if keep else NAME)
    folder.mkdir(parents=True, exist_ok=True)
    _check_size(len(entries) * features * 2, limit_gib, path.with_suffix(".f16"))
    file = File.open(path, key, max(1, len(entries)), features)
    if file.done < len(entries):
        try:
            _compute(file, entries, frame, forward, jobs=jobs, listener=listener)
        finally:
            file.record()  # what was computed is good, whatever stopped it
    order = np.lexsort(np.asarray(file.records["digest"][: file.written]).T[::-1])
    looked_at = np.ascontiguousarray(file.rows[sample(order, BANK, SEED)])  # drawn by content, never by name
    failed = [(entries[place], reason) for place, reason in file.failed]
    return Fixed(looked_at, file.written, failed, path, keep)


def read_kept(folder: Path) -> Seen:
    """The pictures of the file that was last written in `folder`."""
    data = max(folder.glob(f"{NAME}-*.f16"), key=lambda path: path.stat().st_mtime_ns)
    pictures = np.fromfile(data.with_suffix(".pictures"), RECORD)
    written = int(json.loads(data.with_suffix(".json").read_text(encoding="utf-8"))["written"])
    rows = np.memmap(data, np.float16, "r").reshape(len(pictures), -1)
    return Seen(rows[:written], pictures[:written])


def _size(path: Path) -> int:
    """Bytes of a file; -1: there is none."""
    return path.stat().st_size if path.exists() else -1


def _compute(
    file: File,
    entries: Sequence[Entry],
    frame: Frame,
    forward: Forward,
    *,
    jobs: int | None,
    listener: Listener,
) -> None:
    meter = Meter(listener, "features", len(entries))
    meter.done = file.done
    recorded = time.monotonic()
    good: list[Loaded] = []
    bad: list[list[Any]] = []
    loaded = cast(Any, load(entries[file.done :], frame, jobs=jobs))
    with closing(loaded), deferred_interrupt() as interrupted:
        for place, result in enumerate(loaded, start=file.done):
            if isinstance(result, Failed):
                bad.append([place, result.reason])
            else:
                good.append(result)
            if len(good) == BATCH or len(bad) == 4 * BATCH or place == len(entries) - 1:
                if good:
                    made = forward(np.stack([each.pixels for each in good]))
                    file.add(made, good)
                file.failed += bad
                file.done = place + 1
                meter.advance(len(good) + len(bad), failed=len(file.failed))
                good, bad = [], []
                if time.monotonic() - recorded > _RECORD_SECONDS:
                    file.record()
                    recorded = time.monotonic()
            if interrupted():
                raise KeyboardInterrupt
    meter.close()


def _read(path: Path, key: str) -> dict[str, Any] | None:
    """How far the file is, as `File` has it; None when it is of something else."""
    try:
        said = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if said["key"] != key:
            return None
        return {"done": int(said["done"]), "written": int(said["written"]), "failed": list(said["failed"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _key(entries: Sequence[Entry], frame: Frame, encoder: str) -> str:
    digest = hashlib.blake2b(f"{encoder} {frame}".encode(), digest_size=16)
    for entry in entries:
        digest.update(
            f"{entry.source}\0{entry.path}\0{entry.size}\0{entry.mtime_ns}\n".encode("utf-8", "surrogatepass")
        )
    return digest.hexdigest()


def _check_size(size: int, limit_gib: float, data: Path) -> None:
    if size > limit_gib * 2**30:
        raise ConfigError(
            f"the features need {size / 2**30:.2f} GiB, above features.limit_gib {limit_gib:g}: raise it"
        )
    already = data.stat().st_size if data.exists() else 0
    free = shutil.disk_usage(data.parent).free
    if size - already > free:
        raise ConfigError(
            f"the features need {size / 2**30:.2f} GiB, but the disk of {data.parent} has {free / 2**30:.2f} GiB left: "
            "free some, or give --out on another disk"
        )

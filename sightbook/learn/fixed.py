"""Features of the fixed view of every picture, computed once: what a described model is learned from.

Data flow: entries → `images.load.pool.load` (decoded to the encoder's view) → encoder.onnx by onnxruntime, or the
network on a GPU → float16 in a mapped file, a row a picture, beside it whose they are (`model.seen`) → `Fixed`.

The file belongs to what made it (encoder, pictures, frame, version of decoding), and each picture has a place in it. A
run that was stopped goes on with the pictures that are left, anything else is made anew.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sightbook.describe.learn import BANK, SEED, sample
from sightbook.describe.vectors import halved
from sightbook.files import write_atomic
from sightbook.images.entry import Entry
from sightbook.images.load.pool import Failed, Loaded, load
from sightbook.images.pixels.frame import Frame
from sightbook.images.pixels.versions import VERSION
from sightbook.interrupt import deferred_interrupt
from sightbook.learn.mapped import RECORD_SECONDS, check_room, holds, place_of, read_record, reserve
from sightbook.learn.settings.sections import FeaturesConfig
from sightbook.model.seen import RECORD, Seen, records
from sightbook.progress import Listener, Meter

NAME = "fixed"
BATCH = 64  # pictures in one forward pass
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
    """The mapped rows (N, F) and records (N,), a place for each entry, and how far they are: entries gone through, and
    the reason of each that failed, by its place."""

    path: Path
    key: str
    rows: NDArray[np.float16]
    records: NDArray[Any]
    done: int = 0
    failed: dict[int, str] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, key: str, count: int, features: int) -> File:
        """The file as an earlier run left it, where it was of the same pictures and encoder; else one of nothing."""
        data, pictures, record = (path.with_suffix(suffix) for suffix in _SUFFIXES)
        said = read_record(record, key)
        if not (said and holds(data, count * features * 2) and holds(pictures, count * RECORD.itemsize)):
            record.unlink(missing_ok=True)  # before the data changes: it speaks for other data
            said = {"done": 0, "failed": []}
        rows = reserve(data, np.float16, (count, features))
        return cls(path, key, rows, reserve(pictures, RECORD, (count,)), said["done"], dict(said["failed"]))

    @property
    def left(self) -> list[int]:
        """The places of entries that are still to be looked at. What failed is tried again: a right, an extra, a limit
        may have been in the way."""
        return [*sorted(self.failed), *range(self.done, len(self.rows))]

    def add(self, some: Sequence[tuple[int, Loaded | Failed]], forward: Forward) -> None:
        """What became of further entries, by their places, ascending."""
        good = {place: each for place, each in some if isinstance(each, Loaded)}
        if good:
            places, pictures = list(good), list(good.values())
            self.rows[places] = halved(forward(np.stack([each.pixels for each in pictures])))
            self.records[places] = records(pictures)
        self.failed = {place: reason for place, reason in self.failed.items() if place not in good}
        self.failed |= {place: each.reason for place, each in some if isinstance(each, Failed)}
        self.done = max(self.done, some[-1][0] + 1)

    def record(self) -> None:
        """What is in the file by now stays, however the run ends."""
        for each in (self.rows, self.records):
            cast(Any, each).flush()
        content = {"key": self.key, "done": self.done, "failed": list(self.failed.items())}
        write_atomic(self.path.with_suffix(".json"), json.dumps(content))


def fill(
    entries: Sequence[Entry],
    frame: Frame,
    forward: Forward,
    features: int,
    encoder: str,
    *,
    settings: FeaturesConfig,
    work: Path,
    jobs: int | None,
    listener: Listener,
) -> Fixed:
    """Features of all entries, one at least; those in the file are not computed again.

    forward: pixels (B, S, S, 3) uint8 → (B, features) float32; encoder: names it. The file lies in `work`, or in
    `features.folder`, where it has a name of its own and stays for other runs. Ctrl-C loses seconds. ConfigError above
    the limit or the free disk space.
    """
    key, keep, folder = _key(entries, frame, encoder), settings.folder is not None, place_of(settings, work)
    path = folder / (f"{NAME}-{key}" if keep else NAME)
    check_room(len(entries) * features * 2, "the features", settings, path.with_suffix(".f16"))
    file = File.open(path, key, len(entries), features)
    if file.left:
        try:
            _compute(file, entries, frame, forward, jobs=jobs, listener=listener)
        finally:
            file.record()  # what was computed is good, whatever stopped it
    seen = _places(file.done, file.failed)
    order = seen[np.lexsort(np.asarray(file.records["digest"][seen]).T[::-1])]
    looked_at = np.ascontiguousarray(file.rows[sample(order, BANK, SEED)])  # drawn by content, never by name
    failed = [(entries[place], reason) for place, reason in sorted(file.failed.items())]
    return Fixed(looked_at, len(seen), failed, path, keep)


def read_kept(folder: Path) -> Seen:
    """The pictures of the file that was last recorded in `folder`: one that was begun and killed has no record."""
    record = max(folder.glob(f"{NAME}-*.json"), key=lambda path: path.stat().st_mtime_ns)
    said = json.loads(record.read_text(encoding="utf-8"))
    seen = _places(said["done"], dict(said["failed"]))
    pictures = np.fromfile(record.with_suffix(".pictures"), RECORD)
    rows = np.memmap(record.with_suffix(".f16"), np.float16, "r").reshape(len(pictures), -1)
    return Seen(rows[seen], pictures[seen])


def _places(done: int, failed: Mapping[int, str]) -> NDArray[np.int64]:
    """The places of the pictures whose features are there."""
    return np.delete(np.arange(done), np.array(list(failed), np.int64))


def _compute(
    file: File,
    entries: Sequence[Entry],
    frame: Frame,
    forward: Forward,
    *,
    jobs: int | None,
    listener: Listener,
) -> None:
    left = file.left
    meter = Meter(listener, "features", len(entries))
    meter.done = len(entries) - len(left)
    recorded = time.monotonic()
    some: list[tuple[int, Loaded | Failed]] = []
    good = 0
    loaded = cast(Any, load([entries[place] for place in left], frame, jobs=jobs))
    with closing(loaded), deferred_interrupt() as interrupted:
        for place, result in zip(left, loaded, strict=True):
            some.append((place, result))
            good += isinstance(result, Loaded)
            if good == BATCH or len(some) == 4 * BATCH or place == left[-1]:
                file.add(some, forward)
                meter.advance(len(some), failed=len(file.failed))
                some, good = [], 0
                if time.monotonic() - recorded > RECORD_SECONDS:
                    file.record()
                    recorded = time.monotonic()
            if interrupted():
                raise KeyboardInterrupt
    meter.close()


def _key(entries: Sequence[Entry], frame: Frame, encoder: str) -> str:
    digest = hashlib.blake2b(f"{encoder} {frame} {VERSION} places".encode(), digest_size=16)
    for entry in entries:
        digest.update(
            f"{entry.source}\0{entry.path}\0{entry.size}\0{entry.mtime_ns}\n".encode("utf-8", "surrogatepass")
        )
    return digest.hexdigest()

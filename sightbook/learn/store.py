"""Decoded pictures of a training run, uint8, in memory or in a memory-mapped file: decoding is paid once.

Data flow: sources → `images.load.pool.load` → one array (N, R, R, 3) with the digest of each picture → a held-out
part for the verdict and a training part, both chosen by digest alone, so that neither names nor labels can matter.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightbook.errors import ConfigError, SourceError
from sightbook.images.entry import Entry
from sightbook.images.left_out import Group
from sightbook.images.load.pool import Failed, load
from sightbook.images.pixels.frame import Frame
from sightbook.images.sources import Sources, open_sources
from sightbook.learn.mapped import reserve
from sightbook.progress import Listener, Meter, Notice
from sightbook.words import counted, none_read

LEAST_PICTURES = 8
MOST_HELD_OUT = 2000
_NAMED_FAILURES = 5

Path_ = str | os.PathLike[str]
Keys = Collection[tuple[str, str]]  # of pictures, (source, path), as `Entry.key` has them


@dataclass(frozen=True)
class Store:
    """pixels (N, R, R, 3) uint8; `train` and `held_out` are rows of it, without overlap, in the order of the digests.

    `fingerprint` is the digest of which pictures these are, whatever their names; `left_out` what the sources hold
    besides.
    """

    pixels: NDArray[np.uint8]
    train: NDArray[np.int64]
    held_out: NDArray[np.int64]
    failed: int
    fingerprint: str
    mapped: Path | None
    left_out: list[Group] = field(default_factory=list)

    def discard(self) -> None:
        """Removes the memory-mapped file."""
        if self.mapped is not None:
            self.mapped.unlink(missing_ok=True)


def fill(
    sources: Sequence[Path_],
    frame: Frame,
    folder: Path,
    *,
    held_out: float,
    memory_gib: float,
    listener: Listener,
    jobs: int | None = None,
    only: Keys | None = None,
) -> Store:
    """Decodes every picture of `sources`, or of those the ones with the keys `only`. Bad pictures are skipped, named in
    `folder`/failures.jsonl and counted.

    Raises SourceError when no picture is good, ConfigError when there are too few to learn from.
    """
    opened, entries = open_entries(sources, only)
    refuse_none(sources, entries, [])
    side = frame.size
    budget = memory_gib * 2**30
    mapped = folder / "pictures.u8" if len(entries) * side * side * 3 > budget else None
    if mapped is None:
        pixels = np.empty((len(entries), side, side, 3), np.uint8)
    else:
        pixels = reserve(mapped, np.uint8, (len(entries), side, side, 3))
        if os.name == "posix":
            mapped.unlink()  # its space is free again however the run ends
    digests: list[bytes] = []
    failures: list[Failed] = []
    meter = Meter(listener, "decode", len(entries))
    for result in load(entries, frame, jobs=jobs):
        if isinstance(result, Failed):
            failures.append(result)
        else:
            pixels[len(digests)] = result.pixels
            digests.append(result.digest)
        meter.advance()
    meter.close()
    tell_failures(failures, folder, listener)
    count = len(digests)
    refuse_none(sources, entries, failures)
    if count < LEAST_PICTURES:
        raise ConfigError(
            f"{counted(count, 'picture')} in {', '.join(map(str, sources))} cannot teach anything: "
            f"give at least {LEAST_PICTURES}, better some thousands"
        )
    order = np.array(sorted(range(count), key=digests.__getitem__), np.int64)
    fingerprint = hashlib.blake2b(b"".join(sorted(digests)), digest_size=16).hexdigest()
    held = min(max(round(count * held_out), 64), MOST_HELD_OUT, count // 5)
    held = max(held, 1)
    return Store(
        pixels[:count], order[held:], order[:held], len(failures), fingerprint, mapped, opened.left_out
    )


def open_entries(sources: Sequence[Path_], only: Keys | None) -> tuple[Sources, list[Entry]]:
    """The sources, and their entries; of those the ones with the keys `only`."""
    opened = open_sources([Path(source) for source in sources])
    return opened, [entry for entry in opened.entries() if only is None or entry.key in only]


def refuse_none(sources: Sequence[Path_], entries: Sequence[Entry], failures: Sequence[Failed]) -> None:
    """SourceError when there are no pictures, or all of them failed."""
    where = ", ".join(map(str, sources))
    if not entries:
        raise SourceError(f"no pictures in {where}: give a folder, .tar or .parquet that holds some")
    if len(failures) == len(entries):
        raise SourceError(
            f"{none_read(len(entries), 'picture', where)}: "
            f"{failures[0].entry.locator}: {failures[0].reason}; give pictures that open elsewhere"
        )


def tell_failures(failures: list[Failed], folder: Path, listener: Listener) -> None:
    """Writes the pictures that cannot be read to `folder`/failures.jsonl, which speaks of this sitting alone, and names
    the first of them."""
    if not failures:
        (folder / "failures.jsonl").unlink(missing_ok=True)
        return
    lines = [
        json.dumps({"key": list(f.entry.key), "where": f.entry.locator, "reason": f.reason}) for f in failures
    ]
    (folder / "failures.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for failure in failures[:_NAMED_FAILURES]:
        listener(Notice(f"skipped {failure.entry.locator}: {failure.reason}"))
    if len(failures) > _NAMED_FAILURES:
        listener(
            Notice(
                f"skipped {counted(len(failures), 'picture')} in all; they are named in {folder / 'failures.jsonl'}"
            )
        )

"""Pictures that an encoder has seen already: what adding them takes, so that they are read and encoded once.

A picture is known again by its stamp (place, size and time) without being opened, or else by its content. As in the
catalogue, equal size and time (ns) mean that nothing has changed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightbook.images.entry import Entry
from sightbook.images.load.loaded import Loaded
from sightbook.images.pixels.about import About

# A row for each picture: which entry it was, the digest of its bytes, and what it tells about itself, `About` by its
# names; empty, 0 or NaN where it does not tell.
RECORD = np.dtype(
    [
        ("stamp", "u1", 16), ("digest", "u1", 16), ("width", "<u4"), ("height", "<u4"), ("format", "S8"),
        ("taken", "S19"), ("camera", "S64"), ("orientation", "u1"), ("latitude", "<f8"), ("longitude", "<f8"),
    ]
)  # fmt: skip
_TEXTS, _DEGREES = ("format", "taken", "camera"), ("latitude", "longitude")


@dataclass(frozen=True, slots=True)
class KnownPicture:
    """A picture that need not be read: as `Loaded`, with its features (F,) in place of pixels."""

    entry: Entry
    digest: bytes
    about: About
    features: NDArray[np.float16]


@dataclass(frozen=True)
class Seen:
    """rows (n, F) float16: features; records (n,) of `RECORD`: whose they are."""

    rows: NDArray[np.float16]
    records: NDArray[Any]
    _by_stamp: dict[bytes, int] = field(init=False, repr=False, default_factory=dict)
    _by_digest: dict[bytes, int] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        for name, places in (("stamp", self._by_stamp), ("digest", self._by_digest)):
            # Equal stamps would be two reads of one file: the later one counts.
            places.update((value.tobytes(), place) for place, value in enumerate(self.records[name]))

    def __len__(self) -> int:
        return len(self.records)

    def find(self, entry: Entry) -> KnownPicture | None:
        """The picture of an entry that is as it was when it was seen."""
        place = self._by_stamp.get(stamp(entry))
        if place is None:
            return None
        record = self.records[place]
        return KnownPicture(entry, record["digest"].tobytes(), _about(record), self.rows[place])

    def features(self, digest: bytes) -> NDArray[np.float16] | None:
        """The features (F,) of a picture with this content."""
        place = self._by_digest.get(digest)
        return None if place is None else self.rows[place]


def stamp(entry: Entry) -> bytes:
    """16 bytes that change when the entry's place, size or time does, or the archive that it lies in."""
    origin = entry.origin
    where = (
        ("", "", 0, 0) if origin is None else (origin.kind.name, origin.root, origin.size, origin.mtime_ns)
    )
    # Names hold no null character.
    facts = "\0".join(map(str, (*where, entry.path, entry.size, entry.mtime_ns)))
    return blake2b(facts.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def records(pictures: Sequence[Loaded]) -> NDArray[Any]:
    """The records (n,) of pictures that were read."""
    made = np.zeros(len(pictures), RECORD)
    for place, each in enumerate(pictures):
        marks = (np.frombuffer(mark, np.uint8) for mark in (stamp(each.entry), each.digest))
        about = each.about._asdict()
        about |= {name: (about[name] or "").encode() for name in _TEXTS}
        about |= {name: math.nan for name in _DEGREES if about[name] is None}
        made[place] = (*marks, *(about | {"orientation": about["orientation"] or 0}).values())
    return made


def _about(record: Any) -> About:
    said: dict[str, Any] = {name: record[name].item() for name in About._fields}
    said |= {name: said[name].decode() or None for name in _TEXTS}
    said |= {name: None for name in _DEGREES if math.isnan(said[name])}
    return About(**(said | {"orientation": said["orientation"] or None}))

"""All ids and packed codes of one committed state, and their disposable copy in LIBRARY/cache.

Reading codes row by row from SQLite takes .44 s at 1M pictures, this file 10 ms. It is used only when its stamp is the
catalogue's and its checksum fits; otherwise it is rebuilt, silently: nothing in it is the only copy of anything.

File: magic (8 bytes) · header length (4 bytes, little-endian) · header (JSON) · ids int64 · codes uint8.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightbook.files import write_atomic
from sightbook.library.catalogue import Catalogue

_MAGIC = b"SBCODES1"
NAME = "codes.bin"
_HEADER = 4096  # bytes a header can have at most


@dataclass(frozen=True)
class Snapshot:
    """`ids` (N,) int64 ascending and `packed` (N, code_bytes) uint8 of the state that `stamp` names."""

    stamp: str
    ids: NDArray[np.int64]
    packed: NDArray[np.uint8]


def load(catalogue: Catalogue, cache: Path, code_bytes: int, *, save: bool = True) -> Snapshot:
    """The snapshot of the catalogue's present state, from the cache when that is fresh and sound, else from the rows.

    With `save` a rebuilt one is left in the cache, where the disk allows it.
    """
    found = _read(cache / NAME, catalogue.stamp, code_bytes)
    if found is not None:
        return found
    stamp, ids, joined = catalogue.codes()
    if len(joined) != len(ids) * code_bytes:
        # Every code has the same length by construction; another length is damage, not a user's mistake.
        raise sqlite3.DatabaseError("codes of unequal length")
    packed = np.frombuffer(joined, np.uint8).reshape(len(ids), code_bytes)
    snapshot = Snapshot(stamp, np.frombuffer(ids, np.int64), packed)
    if save:
        with contextlib.suppress(
            OSError
        ):  # a read-only or full disk costs time at the next start, nothing else
            _write(cache / NAME, snapshot)
    return snapshot


def is_fresh(cache: Path, stamp: str, code_bytes: int) -> bool:
    """Whether the cache holds a sound snapshot of the state that `stamp` names."""
    return _read(cache / NAME, stamp, code_bytes) is not None


def _write(path: Path, snapshot: Snapshot) -> None:
    body = snapshot.ids.tobytes() + snapshot.packed.tobytes()
    header = json.dumps(
        {
            "stamp": snapshot.stamp,
            "N": len(snapshot.ids),
            "code_bytes": snapshot.packed.shape[1],
            "crc": zlib.crc32(body),
        }
    ).encode()
    write_atomic(path, _MAGIC + struct.pack("<I", len(header)) + header + body)


def _read(path: Path, stamp: str, code_bytes: int) -> Snapshot | None:
    try:
        with path.open("rb") as file:
            if file.read(8) != _MAGIC:
                return None
            length = struct.unpack("<I", file.read(4))[0]
            header = json.loads(file.read(min(length, _HEADER)))
            n = int(header["N"])
            if header["stamp"] != stamp or header["code_bytes"] != code_bytes:
                return None
            if path.stat().st_size != 12 + length + n * (8 + code_bytes):
                return None
            # Two arrays of their own, not views of one: each can be given up without the other.
            ids = np.fromfile(file, np.int64, n)
            packed = np.fromfile(file, np.uint8, n * code_bytes)
        if zlib.crc32(packed.data, zlib.crc32(ids.data)) != header["crc"]:
            return None
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return None
    return Snapshot(stamp, ids, packed.reshape(n, code_bytes))

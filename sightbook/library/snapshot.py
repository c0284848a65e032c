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
        content = path.read_bytes()
        if content[:8] != _MAGIC:
            return None
        start = 12 + struct.unpack_from("<I", content, 8)[0]
        header = json.loads(content[12:start])
        n, body = int(header["N"]), memoryview(content)[start:]
        if header["stamp"] != stamp or header["code_bytes"] != code_bytes:
            return None
        if len(body) != n * (8 + code_bytes) or zlib.crc32(body) != header["crc"]:
            return None
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return None
    ids = np.frombuffer(body, np.int64, n)
    return Snapshot(stamp, ids, np.frombuffer(body, np.uint8, offset=8 * n).reshape(n, code_bytes))

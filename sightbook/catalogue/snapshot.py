"""All ids, packed codes and fine codes of one committed state, and their disposable copies in LIBRARY/cache.

Reading codes row by row from SQLite takes .44 s at 1M pictures, this file 10 ms. It is used only when its stamp is the
catalogue's and its checksum fits; otherwise it is rebuilt, silently: nothing in it is the only copy of anything.

Files: magic (8 bytes) · header length (4 bytes, little-endian) · header (JSON) · ids int64 · codes uint8; fine codes
have a file of their own, without ids, which is mapped into memory: 256 bytes a picture, of which a search needs few.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from sightbook.catalogue.catalogue import Catalogue
from sightbook.files import replace_atomic

_MAGIC, _FINE_MAGIC = b"SBCODES1", b"SBFINES1"
NAME, FINE_NAME = "codes.bin", "fine.bin"
_HEADER = 4096  # bytes a header can have at most


@dataclass(frozen=True)
class Snapshot:
    """`ids` (N,) int64 ascending and `packed` (N, code_bytes) uint8 of the state that `stamp` names; `fine` (N, d)
    int8, read only, where they were asked for and the library keeps them; `digests` (N, 2) uint64 of the contents, with
    fine codes of rows that were not in the cache."""

    stamp: str
    ids: NDArray[np.int64]
    packed: NDArray[np.uint8]
    fine: NDArray[np.int8] | None = None
    digests: NDArray[np.uint64] | None = None


def load(
    catalogue: Catalogue,
    cache: Path,
    code_bytes: int,
    *,
    save: bool = True,
    fine: bool = False,
    last: Snapshot | None = None,
) -> Snapshot:
    """The snapshot of the catalogue's present state, from the cache when that is fresh and sound, else from the rows.

    With `save` a rebuilt one is left in the cache, where the disk allows it; fine: with fine codes, where they are
    kept. last: an earlier state of the same model, whose codes are not looked at; fine codes it has are not read again.
    Raises sqlite3.DatabaseError when codes have another length, or a picture lacks its fine code: damage.
    """

    def read() -> tuple[Snapshot, bool, NDArray[np.int8] | None, bool]:
        stamp, width = catalogue.stamp, catalogue.fine or 0
        cached = _read(cache / NAME, stamp, code_bytes)
        snapshot = cached or of_rows(catalogue, code_bytes, digests=fine and width > 0)
        if not (fine and width):
            return snapshot, cached is not None, None, False
        mapped = _map(cache / FINE_NAME, stamp, len(snapshot.ids), width)
        fines = _fine_from_rows(catalogue, snapshot, width, last) if mapped is None else mapped
        return snapshot, cached is not None, fines, mapped is not None

    # Codes and fine codes of one state, whichever of them the cache has.
    snapshot, cached, fines, mapped = catalogue.steadily(read)
    if save and catalogue.stands():
        # A read-only or full disk costs time at the next start, nothing else.
        if not cached:
            with contextlib.suppress(OSError):
                write(cache / NAME, snapshot)
        if fines is not None and not mapped:
            with contextlib.suppress(OSError):
                write_fine(cache / FINE_NAME, snapshot.stamp, fines)
                # Mapped, they can leave the memory again.
                again = _map(cache / FINE_NAME, snapshot.stamp, *fines.shape)
                fines = fines if again is None else again
    return replace(snapshot, fine=fines)


def read(cache: Path, stamp: str, code_bytes: int, width: int) -> Snapshot | None:
    """What the cache holds of the state that `stamp` names, with fine codes of `width` bytes where that is not 0; None
    unless all of it is there and sound."""
    found = _read(cache / NAME, stamp, code_bytes)
    if found is None or not width:
        return found
    fine = _map(cache / FINE_NAME, stamp, len(found.ids), width)
    return None if fine is None else replace(found, fine=fine)


def of_rows(catalogue: Catalogue, code_bytes: int, *, digests: bool = False) -> Snapshot:
    """The snapshot without fine codes, read from the rows."""
    stamp, ids, joined, *more = catalogue.codes_and_digests() if digests else catalogue.codes()
    if len(joined) != len(ids) * code_bytes:
        # Every code has the same length by construction; another length is damage, not a user's mistake.
        raise sqlite3.DatabaseError("codes of unequal length")
    packed = np.frombuffer(joined, np.uint8).reshape(len(ids), code_bytes)
    contents = np.frombuffer(more[0], np.uint64).reshape(len(ids), 2) if more else None
    return Snapshot(stamp, np.frombuffer(ids, np.int64), packed, digests=contents)


def _fine_from_rows(
    catalogue: Catalogue, snapshot: Snapshot, width: int, last: Snapshot | None
) -> NDArray[np.int8]:
    if last is not None and len(last.ids) and last.digests is not None and snapshot.digests is not None:
        assert last.fine is not None
        place = np.searchsorted(last.ids, snapshot.ids).clip(max=len(last.ids) - 1)
        # A changed picture keeps its id, so its content tells whether its fine code is still its own.
        same = (last.ids[place] == snapshot.ids) & (last.digests[place] == snapshot.digests).all(axis=1)
        new = snapshot.ids[~same].tolist()
        by_id = catalogue.fine_of(new)
        rows = np.take(last.fine, place, axis=0)
        rows[~same] = _whole(b"".join(by_id.get(id, b"") for id in new), len(new), width)
        return rows
    _, found, joined = catalogue.fine_codes()
    return _whole(joined if len(found) == len(snapshot.ids) else b"", len(snapshot.ids), width)


def _whole(joined: bytes | bytearray, count: int, width: int) -> NDArray[np.int8]:
    if len(joined) != count * width:
        raise sqlite3.DatabaseError(
            "fine codes are missing or of unequal length: `sightbook check` mends that"
        )
    return np.frombuffer(joined, np.int8).reshape(count, width)


def write(path: Path, snapshot: Snapshot) -> None:
    """Leaves ids and packed codes in the cache, at `path`."""
    n, code_bytes = snapshot.packed.shape
    facts = {"stamp": snapshot.stamp, "N": n, "code_bytes": code_bytes}
    _write_parts(path, _MAGIC, facts, snapshot.ids, snapshot.packed)


def write_fine(path: Path, stamp: str, fine: NDArray[np.int8]) -> None:
    """Leaves fine (N, d) int8 of the state that `stamp` names in the cache, at `path`."""
    _write_parts(path, _FINE_MAGIC, {"stamp": stamp, "N": len(fine), "fine_bytes": fine.shape[1]}, fine)


def _write_parts(path: Path, magic: bytes, facts: dict[str, Any], *arrays: NDArray[Any]) -> None:
    crc = 0
    for array in arrays:
        crc = zlib.crc32(_bytes(array), crc)
    header = json.dumps({**facts, "crc": crc}).encode()
    with replace_atomic(path) as temporary, temporary.open("wb") as file:
        file.write(magic + struct.pack("<I", len(header)) + header)
        for array in arrays:
            file.write(_bytes(array))


def _bytes(array: NDArray[Any]) -> memoryview:
    """The array's bytes, not copied."""
    return array.reshape(-1).view(np.uint8).data


def _header(file: BinaryIO, magic: bytes) -> tuple[int, Any]:
    """Where the arrays begin, and what is said of them. ValueError when it is no such file."""
    if file.read(8) != magic:
        raise ValueError("another file")
    length = struct.unpack("<I", file.read(4))[0]
    return 12 + length, json.loads(file.read(min(length, _HEADER)))


_UNUSABLE = (OSError, ValueError, KeyError, TypeError, struct.error)


def _read(path: Path, stamp: str, code_bytes: int) -> Snapshot | None:
    try:
        with path.open("rb") as file:
            begin, header = _header(file, _MAGIC)
            n = int(header["N"])
            if header["stamp"] != stamp or header["code_bytes"] != code_bytes:
                return None
            if path.stat().st_size != begin + n * (8 + code_bytes):
                return None
            # Two arrays of their own, not views of one: each can be given up without the other.
            ids = np.fromfile(file, np.int64, n)
            packed = np.fromfile(file, np.uint8, n * code_bytes)
        if zlib.crc32(packed.data, zlib.crc32(ids.data)) != header["crc"]:
            return None
    except _UNUSABLE:
        return None
    return Snapshot(stamp, ids, packed.reshape(n, code_bytes))


def _map(path: Path, stamp: str, count: int, width: int) -> NDArray[np.int8] | None:
    try:
        with path.open("rb") as file:
            begin, header = _header(file, _FINE_MAGIC)
            if (header["stamp"], header["N"], header["fine_bytes"]) != (stamp, count, width):
                return None
            if path.stat().st_size != begin + count * width:
                return None
            if not count:  # nothing can be mapped
                return np.empty((0, width), np.int8)
            # A file that is replaced stays whole for whoever has it mapped.
            fine = np.asarray(np.memmap(file, np.int8, "r", begin, (count, width)))
        if zlib.crc32(_bytes(fine)) != header["crc"]:
            return None
    except _UNUSABLE:
        return None
    return fine

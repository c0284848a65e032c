"""TIFF without the tags that make no pixels (TIFF 6.0): read when the whole file could not be."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any

from sightbook.errors import PictureError

# Size, bits, compression, meaning of values, strips and tiles, planes, predictor, palette, sub-sampling, tables of
# JPEG, transparency, kind of numbers, orientation, profile.
_PIXELS = {
    256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 338, 339, 347,
    512, 513, 514, 519, 520, 521, 529, 530, 531, 532, 34675,
}  # fmt: skip
_COMPRESSION, _DEFLATE = 259, (8, 32946)
_STRIPS, _STRIP_SIZES, _TILES, _TILE_SIZES = 273, 279, 324, 325
_RUN = bytes(64)
_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}


def strip(data: bytes) -> bytes | None:
    """The same picture with its pixel-making tags only, and no second picture; None when its directory is not found."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    number, entry, inline = ("Q", "HHQ8s", 8) if big else ("I", "HHI4s", 4)
    try:
        (at,) = struct.unpack_from(order + number, data, 8 if big else 4)
        (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, at)
        at += 8 if big else 2
        step = struct.calcsize(order + entry)
        entries = [struct.unpack_from(order + entry, data, at + step * place) for place in range(count)]
    except struct.error:
        return None
    kept = []
    for tag, kind, length, value in entries:
        size = _SIZES.get(kind, 0) * length
        (place,) = struct.unpack(order + number, value)
        if tag in _PIXELS and size and (size <= inline or place + size <= len(data)):
            kept.append(struct.pack(order + entry, tag, kind, length, value))
    if not kept:
        return None
    start = len(data) + len(data) % 2
    directory = struct.pack(order + ("Q" if big else "H"), len(kept)) + b"".join(kept) + bytes(inline)
    head = data[:8] + struct.pack(order + "Q", start) if big else data[:4] + struct.pack(order + "I", start)
    return head + data[len(head) :] + bytes(len(data) % 2) + directory


def check_deflated(data: bytes, tags: Mapping[int, Any]) -> None:
    """PictureError when strips or tiles in zlib's format, in a file with runs of zeros, are not what was written:
    libtiff does not look at their checksums."""
    if tags.get(_COMPRESSION) not in _DEFLATE or data.find(_RUN) < 0:
        return
    for offsets, sizes in ((_STRIPS, _STRIP_SIZES), (_TILES, _TILE_SIZES)):
        for start, size in zip(tags.get(offsets, ()), tags.get(sizes, ()), strict=False):
            inflate, part = zlib.decompressobj(), data[start : start + size]
            try:
                while part and not inflate.eof:
                    inflate.decompress(part, 1 << 20)
                    part = inflate.unconsumed_tail
            except zlib.error as error:
                raise PictureError("a part of the file is zeros, as after a copy that failed") from error

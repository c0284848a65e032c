"""WebP without what makes no pixels (RFC 9649): read when the whole file could not be."""

from __future__ import annotations

import re
import struct

_PIXELS = (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")
_NAMES = re.compile(b"|".join((*_PIXELS, b"ICCP", b"EXIF", b"XMP ")))
_BESIDE = 0x20 | 0x08 | 0x04  # profile, EXIF and XMP, as the header announces them


def chunks(data: bytes) -> list[tuple[bytes, int, int]]:
    """(type, begin, end) of the contents of a file's chunks; what follows a damaged length is found by its type."""
    found, at = [], 12
    while (named := _NAMES.search(data, at)) is not None:
        size = int.from_bytes(data[named.end() : named.end() + 4], "little")
        start = named.end() + 4
        end = start + size
        follows = end + size % 2
        lost = follows > len(data) or (follows < len(data) and not _NAMES.match(data, follows))
        if lost and named[0] not in _PIXELS:
            at = start
            continue
        found.append((named[0], start, min(end, len(data))))
        at = follows
    return found


def strip(data: bytes) -> bytes | None:
    """The same picture with its pixel-making chunks only; None when there are none."""
    kept = b""
    for kind, start, end in chunks(data):
        if kind in _PIXELS:
            body = data[start:end]
            if kind == b"VP8X" and body:
                body = bytes([body[0] & ~_BESIDE]) + body[1:]
            kept += kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
    return b"RIFF" + struct.pack("<I", len(kept) + 4) + b"WEBP" + kept if kept else None

"""How pictures become pixels has versions: which pictures another version reads otherwise, told from their headers.

1: before this was counted, colours as the numbers stand in the file. 2: profiles, code points and gamma are brought to
sRGB, fully transparent BMP are opaque, 16-bit samples of fewer bits are as light as they were meant. 3: so are grey
ones with alpha, and so is the alpha itself; TIFF is read as its tags say; a gAMA that nobody meant is ignored.
"""

from __future__ import annotations

import zlib

from sightbook.errors import PictureError, SourceError
from sightbook.images.entry import Entry
from sightbook.images.pixels import riff
from sightbook.images.pixels.colour import differs_from_srgb, from_code_points

VERSION = 3
_HEAD = 128 << 10
_TIFF = (b"II", b"MM")  # its tags may stand anywhere


def reads_otherwise(entry: Entry, before: int) -> bool:
    """Whether this version may give an entry other pixels than an older one gave, as far as the beginning of its file
    tells. What cannot be read now is read when it is there again."""
    if entry.is_vector:
        return False
    try:
        head = entry.head(_HEAD)
        return _differs_from_2(head) or (before < 2 and _differs_from_1(head))
    except (PictureError, SourceError):
        return False


def _differs_from_2(head: bytes) -> bool:
    if head.startswith(b"\x89PNG"):
        at = head.find(b"gAMA")
        gamma = int.from_bytes(head[at + 4 : at + 8], "big") if 0 <= at < head.find(b"IDAT") else 0
        return head[24:26] in (b"\x10\4", b"\x10\6") or 0 < gamma < 10_000 or gamma > 1_000_000
    return head.startswith(_TIFF)


def _differs_from_1(head: bytes) -> bool:
    if head.startswith(b"\xff\xd8\xff"):
        return _jpeg_differs(head)
    if head.startswith(b"\x89PNG"):
        return _png_differs(head)
    if head[:4] == b"RIFF":
        return any(
            kind == b"ICCP" and differs_from_srgb(head[start:end]) for kind, start, end in riff.chunks(head)
        )
    if head[4:8] == b"ftyp":
        return _heif_differs(head)
    if head.startswith(b"BM"):
        return head[28:30] == b"\x20\0"  # of 32 bits
    return head.startswith(_TIFF)


def _jpeg_differs(head: bytes) -> bool:
    parts: list[bytes] = []
    at = 2
    while head[at : at + 1] == b"\xff" and at + 4 <= len(head):
        kind, size = head[at + 1], int.from_bytes(head[at + 2 : at + 4], "big")
        body = head[at + 4 : at + 2 + size]
        if kind == 0xDA:
            return bool(parts) and differs_from_srgb(b"".join(part[14:] for part in sorted(parts)))
        if kind == 0xE2 and body.startswith(b"ICC_PROFILE\0"):
            parts.append(body)
        if kind == 0xE1 and b"R03\0" in body:
            return True
        at += 2 + size
    return True  # its header is longer than what was read, or damaged


def _png_differs(head: bytes) -> bool:
    if head[24:25] == b"\x10":  # of 16 bits
        return True
    at = 8
    while at + 8 <= len(head):
        size, kind = int.from_bytes(head[at : at + 4], "big"), head[at + 4 : at + 8]
        body = head[at + 8 : at + 8 + size]
        if kind == b"IDAT":
            return False
        if kind == b"cICP" or (kind == b"gAMA" and not 44_000 < int.from_bytes(body, "big") < 47_000):
            return True
        if kind == b"cHRM":
            return True
        if kind == b"iCCP":
            try:
                profile = zlib.decompressobj().decompress(body.partition(b"\0")[2][1:], 16 << 20)
            except zlib.error:
                return False
            return differs_from_srgb(profile)
        at += 12 + size
    return True


def _heif_differs(head: bytes) -> bool:
    at = head.find(b"colr")
    while at >= 0:
        kind, size = head[at + 4 : at + 8], int.from_bytes(head[at - 4 : at], "big")
        if kind in (b"prof", b"rICC") and differs_from_srgb(head[at + 8 : at - 4 + size]):
            return True
        if kind == b"nclx" and from_code_points(
            int.from_bytes(head[at + 8 : at + 10], "big"), int.from_bytes(head[at + 10 : at + 12], "big")
        ):
            return True
        at = head.find(b"colr", at + 4)
    return False

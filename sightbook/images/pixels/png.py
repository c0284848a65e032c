"""PNG without what makes no pixels: the decoder sees header, palette, transparency and image data only.

Pillow refuses a picture for what stands beside its pixels (a megabyte of text as picture generators write it, a damaged
time stamp) and inflates it all into memory. Here such chunks are passed over; what matters among them (profile, gamma,
orientation) is read by us, within limits, and a damaged one is as good as absent. Image data whose checksum is wrong
may still be right: their own stream has another.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from typing import Any

from sightbook.errors import PictureError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PATIENCE = 1 << 30
_MOST_PROFILE, _MOST_TEXT = 16 << 20, 1 << 20
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# First column and row, and steps, of the passes of an interlaced picture.
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_END = b"\0\0\0\0IEND\xaeB`\x82"


def strip(data: bytes) -> tuple[bytes, dict[Any, Any]]:
    """(the same picture with its critical chunks only, what Pillow's `info` says of profile, gamma and EXIF).

    PictureError when there is no image, or what makes pixels beside its data (header, palette, transparency) is
    damaged.
    """
    header, palette, transparency = b"", b"", b""
    parts: list[memoryview] = []
    doubtful = False
    info: dict[Any, Any] = {}
    for kind, body, sound in _chunks(data):
        if kind == b"IDAT":
            parts.append(body)
            doubtful = doubtful or not sound
        elif kind in _CRITICAL and not sound:
            raise PictureError(f"its PNG header is damaged ({kind.decode()})")
        elif kind == b"IHDR" and not header:
            header = bytes(body)
        elif kind == b"PLTE" and not palette:
            palette = bytes(body)
        elif kind == b"tRNS" and not transparency:
            transparency = bytes(body)
        elif sound and kind in _READERS:
            _READERS[kind](bytes(body), info)
    if len(header) < 13:
        raise PictureError("its PNG header is damaged")
    if not parts:
        raise PictureError("the file is cut short or damaged")
    image = b"".join(parts)
    if doubtful:
        _check(image, header)
    kept = [SIGNATURE, _chunk(b"IHDR", header[:13])]
    if palette:
        kept.append(_chunk(b"PLTE", palette[: len(palette) // 3 * 3]))
    if _fits(transparency, header, palette):
        kept.append(_chunk(b"tRNS", transparency))
    kept += [_chunk(b"IDAT", image), _END]
    return b"".join(kept), info


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, bool]]:
    """(type, content, whether its checksum is right) as far as the file goes; the last one may be cut short."""
    view, at = memoryview(data), len(SIGNATURE)
    patience = [_PATIENCE]
    while at + 8 <= len(data):
        size, kind = int.from_bytes(view[at : at + 4], "big"), bytes(view[at + 4 : at + 8])
        end = at + 8 + size
        sound = _is_sound(view, at + 4, end)
        lost = not sound and kind != b"IDAT" and _NAMES.match(data, end + 8) is None
        if lost or not _is_type(kind):
            # A damaged length or name: what follows is found by its own.
            at = _next_chunk(data, at + 8, patience)
            continue
        yield kind, view[at + 8 : end], sound
        if kind == b"IEND":
            return
        at = end + 4


def _next_chunk(data: bytes, at: int, patience: list[int]) -> int:
    """Where the next chunk begins that we read and whose checksum is right; the file's end without one, or when
    `patience`, bytes that may be looked at for one file, is at an end."""
    view = memoryview(data)
    for found in _NAMES.finditer(data, at):
        start = found.start() - 4
        size = int.from_bytes(view[start : start + 4], "big")
        if found.end() + size > len(data):
            continue
        patience[0] -= size + 4
        if patience[0] < 0:
            break
        if _is_sound(view, found.start(), found.end() + size):
            return start
    return len(data)


def _is_sound(view: memoryview, name: int, end: int) -> bool:
    """Whether the checksum after a chunk's content is that of its type and content."""
    return zlib.crc32(view[name:end]) == int.from_bytes(view[end : end + 4], "big")


def _is_type(kind: bytes) -> bool:
    return len(kind) == 4 and kind.isalpha()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


def _fits(transparency: bytes, header: bytes, palette: bytes) -> bool:
    colour = header[9]
    if colour == 3:
        return 0 < len(transparency) <= len(palette) // 3
    return len(transparency) == {0: 2, 2: 6}.get(colour)


def _check(image: bytes, header: bytes) -> None:
    """PictureError when image data whose checksum is wrong are not what was written. Less than all is for the decoder
    to find; more means that something else was read as pixels."""
    inflate, done, most = zlib.decompressobj(), 0, _raw_size(header)
    try:
        while image and done <= most and not inflate.eof:
            done += len(inflate.decompress(image, 1 << 20))
            image = inflate.unconsumed_tail
    except zlib.error:
        done = most + 1
    if done > most:
        raise PictureError("its image data are damaged")


def _raw_size(header: bytes) -> int:
    """Bytes of the image before compression, each row with its filter."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header[:13])
    bits = depth * _CHANNELS.get(colour, 4)
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    sizes = [(-(-max(0, width - x) // dx), -(-max(0, height - y) // dy)) for x, y, dx, dy in passes]
    return sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns)


def _profile(body: bytes, info: dict[Any, Any]) -> None:
    name, _, packed = body.partition(b"\0")
    if len(name) < 80 and packed[:1] == b"\0" and (profile := _inflate(packed[1:], _MOST_PROFILE)):
        info["icc_profile"] = profile


def _gamma(body: bytes, info: dict[Any, Any]) -> None:
    if len(body) == 4:
        info["gamma"] = int.from_bytes(body, "big") / 100_000


def _chromaticities(body: bytes, info: dict[Any, Any]) -> None:
    if len(body) == 32:
        info["chromaticity"] = tuple(value / 100_000 for value in struct.unpack(">8I", body))


def _srgb(body: bytes, info: dict[Any, Any]) -> None:
    if len(body) == 1:
        info["srgb"] = body[0]


def _cicp(body: bytes, info: dict[Any, Any]) -> None:
    if len(body) == 4 and body[2] == 0:
        info["cicp"] = tuple(body)


def _exif(body: bytes, info: dict[Any, Any]) -> None:
    if len(body) <= _MOST_TEXT:
        info["exif"] = b"Exif\0\0" + body


def _text(body: bytes, info: dict[Any, Any]) -> None:
    """Of texts those that may tell the orientation: EXIF as ImageMagick writes it."""
    key, _, text = body.partition(b"\0")
    if key == b"Raw profile type exif" and len(text) <= _MOST_TEXT:
        info[key.decode()] = text.decode("latin-1")


def _packed_text(body: bytes, info: dict[Any, Any]) -> None:
    key, _, packed = body.partition(b"\0")
    if key == b"Raw profile type exif" and packed[:1] == b"\0":
        _text(key + b"\0" + (_inflate(packed[1:], _MOST_TEXT) or b""), info)


def _unicode_text(body: bytes, info: dict[Any, Any]) -> None:
    """XMP, which may tell the orientation, too."""
    key, _, rest = body.partition(b"\0")
    if key != b"XML:com.adobe.xmp" or len(rest) < 2:
        return
    text = rest[2:].split(b"\0", 2)[-1]
    if rest[0]:
        text = _inflate(text, _MOST_TEXT) or b""
    if 0 < len(text) <= _MOST_TEXT:
        info["xmp"] = text


_READERS = {
    b"iCCP": _profile, b"gAMA": _gamma, b"cHRM": _chromaticities, b"sRGB": _srgb, b"cICP": _cicp, b"eXIf": _exif,
    b"tEXt": _text, b"zTXt": _packed_text, b"iTXt": _unicode_text,
}  # fmt: skip
_CRITICAL = {b"IHDR", b"PLTE", b"tRNS"}
_NAMES = re.compile(b"|".join(sorted((b"IDAT", b"PLTE", b"tRNS", b"IEND", *_READERS))))


def _inflate(packed: bytes, most: int) -> bytes | None:
    """What zlib's stream holds; None when it is damaged or larger than `most`."""
    inflate = zlib.decompressobj()
    try:
        out = inflate.decompress(packed, most + 1)
    except zlib.error:
        return None
    return out if len(out) <= most and inflate.eof else None

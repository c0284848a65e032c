"""Copies that failed leave runs of zeros where there were data. Compressed pictures have such runs in flat areas at
most, and whether zeros make pixels the decoder is asked: other bytes in their place then change the picture.

For formats whose decoders read anything without complaint (WebP, HEIC, AVIF); PNG, GIF and TIFF have checks of their
own, and JPEG is looked at in `jpeg`. What is not compressed (BMP, most TIFF) cannot be told from black, nor can a copy
that failed in the midst of a flat area.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
from PIL import Image

from sightbook.errors import PictureError
from sightbook.images.pixels import riff

_RUN = bytes(512)
_TAIL = 32
_MOST = 4  # each is a decoding
_BITS = 0.02  # of a pixel in a flat area
_NEAR, _FLAT = 24, 1.5  # pixels, levels
_ELSE = re.compile(rb"[^\0]")
_FILLER = bytes((number * 167 + 89) % 251 + 1 for number in range(4096))


def check(data: bytes, kind: str, image: Image.Image, decoded: Callable[[bytes], Image.Image | None]) -> None:
    """PictureError when zeros stand where data of the picture were.

    image: as it was decoded; decoded: the picture of other bytes, None when they are none.
    """
    runs = _runs(data, _find_coded(data, kind))
    is_lossy = kind == "WebP" and any(name == b"VP8 " for name, _, _ in riff.chunks(data))
    for start, end in runs[:_MOST] + runs[_MOST:][-1:]:
        filled = (_FILLER * (1 + (end - start) // len(_FILLER)))[: end - start]
        other = decoded(data[:start] + filled + data[end:])
        # Lossy WebP of flat areas ends in zeros, and libwebp fails when anything else makes it want more data. What it
        # reads of more zeros than that is flat, too.
        flat = (end - start) * 8 < _BITS * image.width * image.height
        if other is not None and (flat or not is_lossy):
            flat = is_flat_where_they_part(image, other, (_NEAR, 2 * _NEAR, _NEAR, 2 * _NEAR))
        if not flat:
            raise PictureError("a part of the file is zeros, as after a copy that failed")


def is_flat_where_they_part(
    image: Image.Image, another: Image.Image, around: tuple[int, int, int, int]
) -> bool:
    """Whether two pictures are equal, or the first is flat around the first pixel in which they differ: so many pixels
    up, down, left and right of it."""
    pixels, other = np.asarray(image), np.asarray(another)
    if pixels.shape != other.shape:
        return False
    apart = (pixels != other).reshape(*pixels.shape[:2], -1).any(2)
    if not apart.any():
        return True
    row = int(apart.any(1).argmax())
    column = int(apart[row].argmax())
    up, down, left, right = around
    near = pixels[max(0, row - up) : row + down, max(0, column - left) : column + right]
    return bool(near.reshape(-1, *pixels.shape[2:]).std(0).max() < _FLAT)


def _runs(data: bytes, coded: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Where in the coded data zeros stand: long runs, and shorter ones that nothing follows."""
    found = []
    for begin, stop in coded:
        at = data.find(_RUN, begin, stop)
        while at >= 0:
            other = _ELSE.search(data, at, stop)
            end = other.start() if other else stop
            found.append((at, end))
            at = data.find(_RUN, end, stop)
        if data.endswith(bytes(_TAIL), begin, stop) and (not found or found[-1][1] != stop):
            found.append((begin + len(data[begin:stop].rstrip(b"\0")), stop))
    return found


def _find_coded(data: bytes, kind: str) -> list[tuple[int, int]]:
    """Where the coded picture stands in a file."""
    if kind == "WebP":
        return [
            (begin, stop)
            for name, begin, stop in riff.chunks(data)
            if name in (b"VP8 ", b"VP8L", b"ALPH", b"ANMF")
        ]
    start = data.find(b"mdat")
    return [(start + 4, len(data))] if start > 0 else []

"""Copies that failed leave runs of zeros where there were data. Compressed pictures have no such runs but in flat areas,
and whether the decoder takes zeros for pixels it is asked: other bytes in their place change the picture.

For formats whose decoders read anything without complaint (WebP, HEIC, AVIF); PNG, GIF and TIFF have checks of their
own, and JPEG is looked at in `jpeg`. What is not compressed (BMP, most TIFF) cannot be told from black.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from sightbook.errors import PictureError
from sightbook.images import riff

_RUN = bytes(512)
_TAIL = 32
_ELSE = re.compile(rb"[^\0]")
_FILLER = bytes((number * 167 + 89) % 251 + 1 for number in range(4096))


def check(data: bytes, kind: str, same: Callable[[bytes], bool]) -> None:
    """PictureError when zeros stand where data of the picture were."""
    for start, end in _runs(data):
        if _is_data(data, kind, start, end):
            filled = (_FILLER * (1 + (end - start) // len(_FILLER)))[: end - start]
            if not same(data[:start] + filled + data[end:]):
                raise PictureError("a part of the file is zeros, as after a copy that failed")


def _runs(data: bytes) -> list[tuple[int, int]]:
    found, at = [], data.find(_RUN)
    while at >= 0:
        stop = _ELSE.search(data, at)
        end = stop.start() if stop else len(data)
        found.append((at, end))
        at = data.find(_RUN, end)
    if data.endswith(bytes(_TAIL)) and (not found or found[-1][1] != len(data)):
        found.append((len(data.rstrip(b"\0")), len(data)))
    return found


def _is_data(data: bytes, kind: str, start: int, end: int) -> bool:
    """Whether a run lies where the coded picture does."""
    if kind == "WebP":
        return any(
            name in (b"VP8 ", b"VP8L", b"ALPH", b"ANMF") and start < stop and end > begin
            for name, begin, stop in riff.chunks(data)
        )
    return start > data.find(b"mdat") > 0

"""JPEG: what its markers tell of its scans, and whether every pixel's data are there (ITU-T T.81, annex B).

libjpeg fills what is missing with grey and says nothing, so the data are asked: put filler before the end of a scan; a
decoder that had all it needed passes over it, and the pixels stay as they are. That costs a second decoding, so it is
done where something could be missing: where there is no end marker, where the last block is the grey of a missing one,
in files of several scans (whose earlier ones hide it), in small ones, where the last bits are no filling, and where
runs of zeros look like a failed copy. A larger file of one scan that was cut inside its very last block may pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from sightbook.errors import PictureError

_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")  # restart markers belong to a scan
_RESTART_OR_END = re.compile(rb"\xff[^\x00\xff]")
# Each scan is a pass over all blocks: a few bytes of one may cost a second. Encoders use ten.
_MOST_SCANS = 500
END = b"\xff\xd9"
# Bytes that no decoder reads as nothing; from a linear congruence, none of them 255.
_FILLER = bytes((number * 167 + 89) % 251 for number in range(2048))
_SMALL = 4_096
_IN_HEADER = {*range(0xC0, 0xD0), 0xDA, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE}
_SEGMENT = re.compile(rb"\xff[\xc0-\xcf\xda\xdb\xdd\xe0-\xef\xfe]")
_MOST_HEADER = 4 << 20
_GREY, _GREY_RANGE = 128, 4
_ZEROS = bytes(512)
_TAIL = 64


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan: its components, the coefficients and bits it brings, where its data begin and end."""

    components: tuple[int, ...]
    first: int
    last: int
    low_bit: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The picture of a file (the first one, in a file of several). `end` is where its end marker stands; None: there is
    none, or it was not looked for. sound: every segment ends where another begins."""

    progressive: bool
    components: tuple[int, ...]
    scans: tuple[Scan, ...]
    end: int | None
    sound: bool = True

    @property
    def in_passes(self) -> bool:
        """Whether the decoder holds all coefficients, whatever size it is asked for."""
        return self.progressive or len(self.scans[0].components) < len(self.components)

    @property
    def lacks_scans(self) -> bool:
        """Whether some coefficient of a component, or its lowest bits, come in no scan."""
        for component in self.components:
            scans = [scan for scan in self.scans if component in scan.components]
            if not scans:
                return True
            if self.progressive:
                bits: dict[int, int] = {}
                for scan in scans:
                    for place in range(scan.first, scan.last + 1):
                        bits[place] = scan.low_bit
                if len(bits) < 64 or any(bits.values()):
                    return True
        return False


def layout(data: bytes, *, whole: bool) -> Layout | None:
    """The markers of a file; whole=False: as far as the first scan's header. None when they make no sense."""
    at, progressive = 2, False
    components: tuple[int, ...] = ()
    scans: list[Scan] = []
    sound = True
    while True:
        found = _MARKER.search(data, at)
        if found is None:
            return (
                Layout(progressive, components, tuple(scans), None, sound) if scans and components else None
            )
        if not scans:  # one that begins where another ended, and is of a kind that stands in a header
            sound = sound and found.start() == at and found[1][0] in _IN_HEADER
        kind, at = found[1][0], found.end()
        if kind == 0xD9:
            return (
                Layout(progressive, components, tuple(scans), found.start(), sound)
                if scans and components
                else None
            )
        if kind in _ALONE:
            continue
        size = int.from_bytes(data[at : at + 2], "big")
        body = data[at + 2 : at + size]
        if kind in _FRAMES and len(body) >= 6:
            progressive = kind in _PROGRESSIVE
            components = tuple(body[6 : 6 + 3 * body[5] : 3])
        elif kind == 0xDA and body:
            count = body[0]
            named = tuple(body[1 : 1 + 2 * count : 2])
            first, last, bits = (*body[1 + 2 * count : 4 + 2 * count], 0, 63, 0)[:3]
            start = at + size
            end = _MARKER.search(data, start) if whole else None
            scans.append(Scan(named, first, last, bits & 15, start, end.start() if end else len(data)))
            if not whole:
                return Layout(progressive, components, tuple(scans), None, sound) if components else None
            if len(scans) > _MOST_SCANS:
                raise PictureError(f"it has more than {_MOST_SCANS} scans, which no picture needs")
            at = scans[-1].end
            continue
        at += max(size, 2)


def check_whole(
    data: bytes, found: Layout | None, corner: tuple[int, ...], same: Callable[[bytes], bool]
) -> None:
    """PictureError when data of the picture in `data`, which has an end marker, are missing.

    found: its layout as far as it is known; corner: the last pixel as it was decoded; same: whether another file gives
    the same pixels.
    """
    if found is None:
        return
    zeros = data.find(_ZEROS, found.scans[0].start)
    end = data.find(END, found.scans[0].start)
    suspicious = (
        found.in_passes
        or len(data) < _SMALL
        or zeros >= 0
        or not data[end - 1] & 1  # the last byte is filled up with ones
        or all(abs(value - _GREY) <= _GREY_RANGE for value in corner)
    )
    if not suspicious:
        return
    found = found if found.end is not None else layout(data, whole=True)
    if found is None or found.end is None:
        return
    if found.lacks_scans or not same(data[: found.end] + _FILLER + data[found.end :]):
        raise PictureError("the file is cut short: a part of the picture is missing")
    if zeros >= 0 and _is_holed(data, found, same):
        raise PictureError("a part of the file is zeros, as after a copy that failed")


def _is_holed(data: bytes, found: Layout, same: Callable[[bytes], bool]) -> bool:
    """Whether after a run of zeros a scan ends too early or too late for its data. Flat areas may be such runs, too:
    those end in time."""
    for scan in found.scans:
        at = data.find(_ZEROS, scan.start, scan.end)
        while at >= 0:
            stop = _RESTART_OR_END.search(data, at)
            end = stop.start() if stop else scan.end
            if not same(data[:end] + _FILLER + data[end:]):
                return True
            if end - at > 2 * _TAIL and same(data[: end - _TAIL] + data[end:]):
                return True
            at = data.find(_ZEROS, max(end, at + 1), scan.end)
    return False


def closed(data: bytes, found: Layout) -> tuple[bytes, bytes] | None:
    """A file whose end marker is missing with one put there, and the same with filler before it: equal pixels mean that
    only the marker was missing. Zeros at the end (a failed copy) are not its data. None when it has one."""
    if data.find(END, found.scans[0].start) >= 0:
        return None
    body = data.rstrip(b"\0")
    body = body[:-1] if body.endswith(b"\xff") else body
    return body + END, body + _FILLER + END


def strip(data: bytes) -> bytes | None:
    """The same picture without segments that are damaged and make no pixels; None when it cannot be told where it goes
    on after one.

    Of several places where it could, the one that leads to the largest picture counts: a damaged segment of EXIF may
    hold a thumbnail, which is a whole JPEG.
    """
    kept, at = [data[:2]], 2
    while True:
        segment = _segment(data, at)
        if segment is None:
            found = _SEGMENT.finditer(data, at + 2, at + _MOST_HEADER)
            best = max(((_area(data, place.start()), -place.start()) for place in found), default=(0, 0))
            if best[0] == 0:
                return None
            at = -best[1]
            continue
        kind, end = segment
        kept.append(data[at:end])
        at = end
        if kind == 0xDA:
            return b"".join((*kept, data[at:]))


def _area(data: bytes, at: int) -> int:
    """Pixels of the picture whose segments go on at this place; 0 when they do not lead to a scan."""
    area = 0
    while (segment := _segment(data, at)) is not None:
        kind, end = segment
        if kind in _FRAMES:
            area = int.from_bytes(data[at + 5 : at + 7], "big") * int.from_bytes(data[at + 7 : at + 9], "big")
        if kind == 0xDA:
            return area
        at = end
    return 0


def _segment(data: bytes, at: int) -> tuple[int, int] | None:
    """(marker, end) of the segment that begins here; None when none does, or no other follows it."""
    if not _SEGMENT.match(data, at):
        return None
    kind, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    if end < at + 4 or end > len(data):
        return None
    return (kind, end) if kind == 0xDA or data[end : end + 1] == b"\xff" else None

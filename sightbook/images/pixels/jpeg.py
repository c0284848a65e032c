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
from itertools import islice

from sightbook.errors import PictureError

_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")  # restart markers belong to a scan
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")
_RESTART_OR_END = re.compile(rb"\xff[^\x00\xff]")
# Each scan is a pass over all blocks: a few bytes of one may cost a second. Encoders use ten.
_MOST_SCANS = 500
END = b"\xff\xd9"
# Bytes that no decoder reads as nothing; from a linear congruence, none of them 255.
_FILLER = bytes((number * 167 + 89) % 251 for number in range(2048))
_SMALL = 4_096
_SEGMENT = re.compile(rb"\xff[\xc0-\xcf\xda\xdb\xdd\xe0-\xef\xfe]")
# Made-up files could keep the search for the next segment busy for hours.
_MOST_HEADER, _MOST_TRIES, _MOST_BREAKS, _MOST_HOLES = 4 << 20, 1000, 20, 8
_GREY, _GREY_RANGE = 128, 4
_ZEROS = bytes(512)
_TAIL = 8  # bytes, of which some block is, however flat


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
        if not scans:  # one that begins where another ended
            sound = sound and found.start() == at and _segment(data, found.end() - 2) is not None
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
    data: bytes,
    found: Layout | None,
    corner: tuple[int, ...],
    same: Callable[[bytes], bool],
    is_flat: Callable[[bytes], bool],
) -> None:
    """PictureError when data of the picture in `data`, which has an end marker, are missing.

    found: its layout as far as it is known; corner: the last pixel as it was decoded; same: whether another file gives
    the same pixels; is_flat: whether the picture is flat where another file gives other pixels first.
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
    fillers = _fillers(data, found.scans[-1].start, found.end)
    if found.lacks_scans or not all(same(data[: found.end] + each + data[found.end :]) for each in fillers):
        raise PictureError("the file is cut short: a part of the picture is missing")
    if zeros >= 0 and _is_holed(data, found, same, is_flat):
        raise PictureError("a part of the file is zeros, as after a copy that failed")


def _is_holed(
    data: bytes, found: Layout, same: Callable[[bytes], bool], is_flat: Callable[[bytes], bool]
) -> bool:
    """Whether zeros stand where the data of something else stood. Flat areas may be such runs, too: then the picture is
    flat there, and the scan ends neither too early nor too late for its data."""
    for scan in found.scans:
        restarts = [marker[1][0] & 7 for marker in _RESTART.finditer(data, scan.start, scan.end)]
        if restarts != [number & 7 for number in range(len(restarts))]:
            return True
        at, holes = data.find(_ZEROS, scan.start, scan.end), 0
        while at >= 0 and holes < _MOST_HOLES:
            holes += 1
            stop = _RESTART_OR_END.search(data, at)
            end = stop.start() if stop else scan.end
            stretch = min(len(_FILLER), end - at)
            if not same(data[:end] + _FILLER + data[end:]):
                return True
            if not is_flat(data[:at] + _FILLER[:stretch] + data[at + stretch :]):
                return True
            if end - at > 2 * _TAIL and same(data[: end - _TAIL] + data[end:]):
                return True
            at = data.find(_ZEROS, max(end, at + 1), scan.end)
    return False


def close(data: bytes, found: Layout) -> tuple[bytes, list[bytes]] | None:
    """A file whose end marker is missing with one put there, and the same with fillers before it: equal pixels mean
    that only the marker was missing. Zeros at the end (a failed copy) are not its data. None when it has one."""
    if data.find(END, found.scans[0].start) >= 0:
        return None
    body = data.rstrip(b"\0")
    body = body[:-1] if body.endswith(b"\xff") else body
    return body + END, [body + filler + END for filler in _fillers(body, found.scans[-1].start, len(body))]


def _fillers(data: bytes, start: int, end: int) -> list[bytes]:
    """What to put behind a scan's data: filler, and, where it has restart markers, filler behind the next of these,
    which a decoder at the end of an interval waits for."""
    restarts = len(_RESTART.findall(data, start, end))
    if not restarts and data.find(b"\xff\xdd\0\4", 0, start) < 0:
        return [_FILLER]
    return [_FILLER, bytes((0xFF, 0xD0 + restarts % 8)) + _FILLER]


def strip(data: bytes) -> bytes | None:
    """The same picture without segments that are damaged and make no pixels; None when it cannot be told where it goes
    on after one.

    Of several places where it could, the one that leads to the largest picture counts: a damaged segment of EXIF may
    hold a thumbnail, which is a whole JPEG.
    """
    kept, at = [data[:2]], 2
    if _leads_to_a_scan(data, at) and not _area(data, at):
        # One that seems to end where another begins has swallowed the tables.
        at = _resume(data, at)
    tries = 0
    while at:
        segment = _segment(data, at)
        if segment is None:
            at, tries = (_resume(data, at) if tries < _MOST_BREAKS else 0), tries + 1
            continue
        kind, end = segment
        kept.append(data[at:end])
        at = end
        if kind == 0xDA:
            return b"".join((*kept, data[at:]))
    return None


def _resume(data: bytes, at: int) -> int:
    """Where segments go on after a damaged one; 0 when nowhere."""
    found = islice(_SEGMENT.finditer(data, at + 2, at + _MOST_HEADER), _MOST_TRIES)
    best = max(((_area(data, place.start()), -place.start()) for place in found), default=(0, 0))
    return -best[1] if best[0] else 0


def _leads_to_a_scan(data: bytes, at: int) -> bool:
    while (segment := _segment(data, at)) is not None:
        kind, at = segment
        if kind == 0xDA:
            return True
    return False


def _area(data: bytes, at: int) -> int:
    """Pixels of the picture whose segments go on at this place; 0 when they do not lead to a scan."""
    area = length = 0
    while length < _MOST_TRIES and (segment := _segment(data, at)) is not None:
        kind, end = segment
        if kind in _FRAMES:
            area = int.from_bytes(data[at + 5 : at + 7], "big") * int.from_bytes(data[at + 7 : at + 9], "big")
        if kind == 0xDA:
            return area
        at, length = end, length + 1
    return 0


def _segment(data: bytes, at: int) -> tuple[int, int] | None:
    """(marker, end) of the segment that begins here; None when none does, or no other follows it."""
    if not _SEGMENT.match(data, at):
        return None
    kind, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    if end < at + 4 or end > len(data):
        return None
    if not _is_plausible(kind, data[at + 4 : end]):
        return None
    return (kind, end) if kind == 0xDA or data[end : end + 1] == b"\xff" else None


def _is_plausible(kind: int, body: bytes) -> bool:
    """Whether a segment that makes pixels is one, and not a text whose marker was damaged."""
    if kind in _FRAMES:
        return len(body) >= 9 and body[0] in (8, 12, 16) and len(body) == 6 + 3 * body[5]
    if kind == 0xDA:
        return len(body) >= 6 and len(body) == 4 + 2 * body[0]
    if kind == 0xDB:
        return len(body) > 64 and body[0] & 15 < 4 and body[0] >> 4 < 2
    if kind == 0xC4:
        return len(body) > 16 and body[0] & 15 < 4 and body[0] >> 4 < 2 and 17 + sum(body[1:17]) <= len(body)
    if kind == 0xDD:
        return len(body) == 2
    return True

"""The colours that a HEIC or AVIF file states for its picture: ISO/IEC 23008-12, the `colr` property of the item."""

from __future__ import annotations

from collections.abc import Iterator

_DEPTH_BYTES = 8 << 20  # `meta` stands near the start and is small


def code_points(data: bytes) -> tuple[int, int] | None:
    """(primaries, transfer) by ITU-T H.273 of the primary item; None when the file does not tell them, or tells them
    in a way that cannot be followed."""
    try:
        return _code_points(memoryview(data)[:_DEPTH_BYTES])
    except (IndexError, KeyError, ValueError):
        return None


def _code_points(data: memoryview) -> tuple[int, int] | None:
    meta = next((body for kind, body in _boxes(data) if kind == b"meta"), None)
    if meta is None:
        return None
    inner = dict(_boxes(meta[4:]))
    primary, properties = inner[b"pitm"], dict(_boxes(inner[b"iprp"]))
    wanted = _number(primary, 4, 2 if primary[0] == 0 else 4)
    listed = list(_boxes(properties[b"ipco"]))
    for place in _properties_of(properties[b"ipma"], wanted):
        kind, body = listed[place - 1]
        if kind == b"colr" and bytes(body[:4]) == b"nclx":
            return _number(body, 4, 2), _number(body, 6, 2)
    return None


def _properties_of(box: memoryview, wanted: int) -> list[int]:
    """The numbers, from 1, of an item's properties."""
    wide_ids, wide_places = box[0] > 0, bool(box[3] & 1)
    count, at = _number(box, 4, 4), 8
    for _ in range(count):
        item = _number(box, at, 4 if wide_ids else 2)
        at += 4 if wide_ids else 2
        places, at = box[at], at + 1
        if item == wanted:
            step, mask = (2, 0x7FFF) if wide_places else (1, 0x7F)
            found = [_number(box, at + step * number, step) & mask for number in range(places)]
            return [place for place in found if place]
        at += places * (2 if wide_places else 1)
    return []


def _boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    at = 0
    while at + 8 <= len(data):
        size, kind, head = _number(data, at, 4), bytes(data[at + 4 : at + 8]), 8
        if size == 1:
            size, head = _number(data, at + 8, 8), 16
        if size == 0:
            size = len(data) - at
        if size < head:
            return
        yield kind, data[at + head : at + size]
        at += size


def _number(data: memoryview, at: int, size: int) -> int:
    if at + size > len(data):
        raise ValueError
    return int.from_bytes(data[at : at + size], "big")

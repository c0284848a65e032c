"""What a picture tells about itself: size and format; and of its EXIF by what, when and where it was taken.

It is read from what was opened for its pixels, so it costs no second look at the file. What is absent or damaged is
None, and costs no picture.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from PIL import Image

_T = TypeVar("_T")

# Tags of EXIF 2.32, and the two directories beside the main one.
_MAKER, _MODEL, _ORIENTATION, _TAKEN, _DIGITIZED = 0x010F, 0x0110, 0x0112, 0x9003, 0x9004
_CAMERA_SETTINGS, _GPS = 0x8769, 0x8825
_TIME = re.compile(r"(\d{4})[:/-](\d\d)[:/-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_MOST = 64  # bytes of a camera's name


class About(NamedTuple):
    """width, height: in full, upright. format: of the file, such as `jpeg`. taken: what the camera's clock showed,
    `2024-05-31T12:30:00`, of no time zone. camera: maker and model. orientation: how it is stored, 1 to 8 as in EXIF.
    latitude, longitude: degrees, north and east positive."""

    width: int
    height: int
    format: str | None = None
    taken: str | None = None
    camera: str | None = None
    orientation: int | None = None
    latitude: float | None = None
    longitude: float | None = None


def tell(image: Image.Image, width: int, height: int, format: str | None) -> About:
    """What a loaded picture tells, whose full size as it is stored is `width` × `height`."""
    about = About(width, height, format)
    exif = _or_none(image.getexif)
    if not exif:
        return about
    settings = _or_none(lambda: exif.get_ifd(_CAMERA_SETTINGS)) or {}
    latitude, longitude = _or_none(lambda: _place(exif.get_ifd(_GPS))) or (None, None)
    return about._replace(
        taken=_or_none(lambda: _time(settings.get(_TAKEN) or settings.get(_DIGITIZED))),
        camera=_or_none(lambda: _camera(exif.get(_MAKER), exif.get(_MODEL))),
        orientation=_or_none(lambda: _whole(exif.get(_ORIENTATION))),
        latitude=latitude,
        longitude=longitude,
    )


def _or_none(read: Callable[[], _T]) -> _T | None:
    try:
        return read()
    except Exception:  # whatever Pillow's parser lets out on hostile bytes, the pixels are still good
        return None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and 1 <= value <= 8 else None


def _time(value: Any) -> str | None:
    found = _TIME.match(_clean(value))
    return None if found is None else datetime(*map(int, found.groups())).isoformat()  # type: ignore[arg-type]


def _camera(maker: Any, model: Any) -> str | None:
    """Many models name their maker themselves."""
    maker, model = _clean(maker), _clean(model)
    name = model if model.lower().startswith(maker.lower()) else f"{maker} {model}"
    return name.encode()[:_MOST].decode(errors="ignore").strip() or None


def _clean(value: Any) -> str:
    """Text of one line, without what cannot be printed."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    if not isinstance(text, str):
        return ""
    text = text[:1000].partition("\0")[0]
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _place(gps: dict[int, Any]) -> tuple[float, float] | None:
    latitude, longitude = _degrees(gps[1], gps[2], "NS"), _degrees(gps[3], gps[4], "EW")
    return (latitude, longitude) if abs(latitude) <= 90 and abs(longitude) <= 180 else None


def _degrees(side: Any, parts: Any, sides: str) -> float:
    """Degrees, minutes and seconds as one number. ValueError for what is none."""
    degrees, minutes, seconds = map(float, parts)
    value = degrees + minutes / 60 + seconds / 3600
    if not math.isfinite(value):
        raise ValueError
    return -value if sides.index(_clean(side)[:1].upper()) else value

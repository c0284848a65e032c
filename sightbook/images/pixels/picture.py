"""Anything that is a picture → RGB: the one way from what users and sources hand over to pixels.

Data flow: a path, bytes, an open file, what the hub has for one, an array or a Pillow picture → bytes where there are
any (all within the guards; a Pillow picture that was opened and not touched is read again) → `decode`; else pixels as
they are → `rgb`. So a file and `Image.open` of it give equal pixels. For an encoder then → `frame`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightbook.arguments import described
from sightbook.errors import ConfigError, PictureError
from sightbook.images.pixels.about import About
from sightbook.images.pixels.content import read_file, read_object
from sightbook.images.pixels.decode import decode_image, draft_scale, explain, upright
from sightbook.images.pixels.frame import Frame
from sightbook.images.pixels.guards import Guards, limits
from sightbook.images.pixels.plugins import format_of
from sightbook.images.pixels.quiet import quiet

# A path, the bytes of a picture file, a file opened to read bytes, the hub's {"bytes": ..., "path": ...}, an RGB array
# (H, W, 3) uint8, or a Pillow picture.
Picture = str | os.PathLike[str] | bytes | bytearray | memoryview | NDArray[Any] | Image.Image | Any
_ASKED = "give a path, the bytes of a picture file, a Pillow image or an RGB array (H, W, 3) uint8"


def split(pictures: Picture | Sequence[Picture]) -> list[Picture]:
    """One picture or several, in their order: a list, a tuple, a generator is several, an array (Q, H, W, 3) or of
    paths too.

    ConfigError for a set: what is made of pictures tells them apart by number, and a set has no order.
    """
    if isinstance(pictures, set | frozenset):
        raise ConfigError("the queries are a set, which has no order to number them by: give a list")
    if isinstance(pictures, np.ndarray):
        several = pictures.ndim == 4 or (pictures.ndim == 1 and pictures.dtype.kind in "UO")
        return list(pictures) if several else [pictures]
    one = (
        isinstance(pictures, str | bytes | bytearray | memoryview | os.PathLike | Mapping)
        or hasattr(pictures, "read")
        or hasattr(pictures, "getexif")
        or hasattr(pictures, "__array__")
    )
    return list(pictures) if isinstance(pictures, Iterable) and not one else [pictures]


def frame_picture(
    picture: Picture, frame: Frame, guards: Guards | None = None
) -> tuple[NDArray[np.uint8], About]:
    """Any picture as the pixels (size, size, 3) that encoders see, with what it tells about itself; errors as of
    `read_picture`. In this very process, however long it takes: see `load.apart`."""
    image, about = read_picture(picture, side=frame.resize, guards=guards)
    return frame.apply(image), about


def read_picture(
    picture: Picture, *, side: int | None = None, guards: Guards | None = None
) -> tuple[Image.Image, About]:
    """Any picture as a Pillow picture of mode RGB, upright, in sRGB, on white, with what it tells about itself.

    side, guards: as in `decode`. PictureError when it cannot be read, is no picture, or is larger than the guards.
    """
    guards = guards or limits()
    data = bytes_of(picture, guards)
    if data is not None:
        return decode_image(data, side=side, guards=guards)
    if isinstance(picture, Image.Image):
        return _of_pillow(picture, side, guards)
    return _of_array(picture, guards)


def bytes_of(picture: Picture, guards: Guards) -> bytes | None:
    """The bytes of the file that a picture is, or stands for; None for one of pixels. Errors as of `read_picture`."""
    if isinstance(picture, Mapping):
        data, path = picture.get("bytes"), picture.get("path")
        picture = path if data is None else data
    if isinstance(picture, str | os.PathLike):
        return read_file(picture, guards.bytes)
    if isinstance(picture, bytes | bytearray | memoryview):
        return bytes(picture)
    try:
        if isinstance(picture, Image.Image):
            return _file_of(picture, guards.bytes)
        return read_object(picture, guards.bytes) if hasattr(picture, "read") else None
    except Exception as error:  # of a closed or cut file, or whatever somebody's object lets out
        raise explain(error) from error


def _of_pillow(image: Image.Image, side: int | None, guards: Guards) -> tuple[Image.Image, About]:
    with quiet():
        try:
            guards.check_size(*image.size)
            image.load()
            (width, height), format = image.size, image.format
            if side is not None and format in ("JPEG", "MPO"):
                scale = draft_scale(width, height, side)  # what its file would have been decoded at
                image = _reduce(image, scale) if scale > 1 else image
            return upright(image, width, height, format)
        except Exception as error:
            raise explain(error) from error


def _reduce(image: Image.Image, scale: int) -> Image.Image:
    small = image.reduce(scale)
    small.info = image.info
    return small


def _file_of(image: Image.Image, limit: int) -> bytes | None:
    """The bytes that an opened Pillow picture stands for, as long as it was neither loaded nor moved to another frame,
    and is of a format that we read."""
    file = getattr(image, "fp", None)
    if getattr(image, "_im", None) is not None or file is None or not callable(getattr(file, "seek", None)):
        return None
    if not image.info.get("primary", image.tell() == 0):  # a HEIC says which of its pictures is the main one
        return None
    place = file.tell()
    try:
        file.seek(0)
        data = file.read(limit + 1)
    finally:
        file.seek(place)
    return data if isinstance(data, bytes) and format_of(data) else None


def _of_array(picture: Any, guards: Guards) -> tuple[Image.Image, About]:
    """RGB and nothing else: what the numbers of other arrays mean is not agreed on."""
    if not hasattr(picture, "__array__"):
        raise PictureError(f"it is {described(picture)}, and no picture: {_ASKED}")
    try:
        rgb = np.asarray(picture)
    except Exception as error:  # a tensor on another device, or whatever somebody's object lets out
        raise PictureError(f"a {type(picture).__name__} gives no array ({error})") from error
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
        raise PictureError(f"a query array must be (height, width, 3) uint8 RGB, not {rgb.shape} {rgb.dtype}")
    if isinstance(picture, np.ma.MaskedArray) and np.ma.is_masked(picture):
        raise PictureError("a query array has masked pixels: fill them in (`filled`)")
    height, width = rgb.shape[:2]
    guards.check_size(width, height)
    return Image.fromarray(np.ascontiguousarray(rgb)), About(width, height)

"""Anything that is a picture → RGB: the one way from what users and sources hand over to pixels.

Data flow: a path, bytes, an array or a Pillow picture → bytes where there are any (a path is read within the guards, a
Pillow picture that was opened and not touched is read again) → `decode`; else pixels as they are → `rgb`. So a file and
`Image.open` of it give equal pixels. For an encoder then → `frame`.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightbook.errors import PictureError
from sightbook.images.pixels.about import About
from sightbook.images.pixels.content import read_file
from sightbook.images.pixels.decode import decode_image, draft_scale, explain, upright
from sightbook.images.pixels.frame import Frame
from sightbook.images.pixels.guards import Guards, limits
from sightbook.images.pixels.plugins import format_of
from sightbook.images.pixels.quiet import quiet

# A path, the bytes of a picture file, an RGB array (H, W, 3) uint8, or a Pillow picture.
Picture = str | os.PathLike[str] | bytes | bytearray | memoryview | NDArray[Any] | Image.Image | Any


def frame_picture(
    picture: Picture, frame: Frame, guards: Guards | None = None
) -> tuple[NDArray[np.uint8], About]:
    """Any picture as the pixels (size, size, 3) that encoders see, with what it tells about itself; errors as of
    `read_picture`. In this very process, however long it takes: see `load.apart`."""
    image, about = read_picture(picture, side=frame.resize, guards=guards)
    return frame.apply_image(image), about


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
    if isinstance(picture, str | os.PathLike):
        return read_file(picture, guards.bytes)
    if isinstance(picture, bytes | bytearray | memoryview):
        return bytes(picture)
    if not isinstance(picture, Image.Image):
        return None
    try:
        return _file_of(picture, guards.bytes)
    except Exception as error:
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
    if image.format not in ("HEIF", "AVIF") and image.tell() != 0:
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
    try:
        rgb = np.asarray(picture)
    except (TypeError, ValueError) as error:
        raise PictureError(f"a {type(picture).__name__} is no picture ({error})") from None
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
        raise PictureError(f"a query array must be (height, width, 3) uint8 RGB, not {rgb.shape} {rgb.dtype}")
    if isinstance(picture, np.ma.MaskedArray) and np.ma.is_masked(picture):
        raise PictureError("a query array has masked pixels: fill them in (`filled`)")
    height, width = rgb.shape[:2]
    guards.check_size(width, height)
    return Image.fromarray(np.ascontiguousarray(rgb)), About(width, height)

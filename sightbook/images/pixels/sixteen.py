"""Colour of 16 bits a sample: Pillow keeps the upper byte of each, which is nothing where 10 or 12 bits stand in it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightbook.images.pixels.rgb import TOPS, eight_bits

# How Pillow names the order of bytes in a sample: by the other one it keeps the lower byte.
_SWAPPED = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
_DARK = max(TOPS) >> 8


def rawmode(image: Image.Image) -> str:
    """How the samples of an opened picture stand in its file, as Pillow names it; "" when that is not told."""
    tiles: Any = getattr(image, "tile", ())
    args = tiles[0][3] if tiles else ""
    return str(args[0] if isinstance(args, tuple) and args else args)


def brighten(image: Image.Image, raw: str, reopened: Callable[[], Image.Image]) -> Image.Image:
    """A loaded picture whose samples are of 16 bits (`raw`, as it was opened), as light as it was meant: when its upper
    bytes leave room for 12 bits at most, the lower ones are read, too. So is its alpha."""
    name, _, order = raw.partition(";16")
    if name not in ("RGB", "RGBA", "RGBX", "LA") or order not in _SWAPPED:
        return image
    colours = image.getextrema()[:3]
    if max(int(top) for _, top in colours) > _DARK:  # type: ignore[misc]
        return image
    if name == "LA":
        values = _of_grey(_read_as(reopened(), "RGBA"), order)
    else:
        low = _read_as(reopened(), f"{name};16{_SWAPPED[order]}")
        values = np.asarray(image, np.uint16) * 256 + low
    made = Image.fromarray(eight_bits(values[..., :3], _top(values[..., :3])))
    if image.mode == "RGBA":
        made.putalpha(Image.fromarray(eight_bits(values[..., 3], _top(values[..., 3]))))
    made.info = image.info
    return made


def _of_grey(pairs: NDArray[np.uint8], order: str) -> NDArray[np.uint16]:
    """Grey and alpha (H, W, 4), two bytes each, → (H, W, 4): red, green, blue, alpha."""
    first, second = pairs[..., 0::2].astype(np.uint16), pairs[..., 1::2].astype(np.uint16)
    little = order == "L" or (order == "N" and sys.byteorder == "little")
    both = second * 256 + first if little else first * 256 + second
    return both[..., [0, 0, 0, 1]]


def _top(values: NDArray[np.uint16]) -> int:
    """The value that is white, or opaque."""
    most = int(values.max())
    return next((top for top in TOPS if 0 < most <= top), 65535)


def _read_as(image: Image.Image, raw: str) -> NDArray[np.uint8]:
    """Its samples by another raw mode, as Pillow calls it."""
    image.tile = [_with_rawmode(tile, raw) for tile in image.tile]  # type: ignore[attr-defined]
    image.load()
    return np.asarray(image)


def _with_rawmode(tile: Any, other: str) -> Any:
    args = tile[3]
    return tile._replace(args=(other, *args[1:]) if isinstance(args, tuple) else other)

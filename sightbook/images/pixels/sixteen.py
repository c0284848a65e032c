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
    bytes leave room for 12 bits at most, the lower ones are read, too."""
    order = raw.partition(";16")[2]
    if image.mode not in ("RGB", "RGBA") or order not in _SWAPPED:
        return image
    colours = image.getextrema()[:3]
    if max(int(top) for _, top in colours) > _DARK:  # type: ignore[misc]
        return image
    low = reopened()
    low.tile = [_of_lower_bytes(tile) for tile in low.tile]  # type: ignore[attr-defined]
    low.load()
    values = np.asarray(image, np.uint16) * 256 + np.asarray(low, np.uint16)
    made = Image.fromarray(_fitted(values[..., :3]))
    if image.mode == "RGBA":
        made.putalpha(Image.fromarray(_fitted(values[..., 3])))  # of as few bits, or of all 16
    made.info = image.info
    return made


def _fitted(values: NDArray[np.uint16]) -> NDArray[np.uint8]:
    return eight_bits(values, next((top for top in TOPS if values.max() <= top), 65535))


def _of_lower_bytes(tile: Any) -> Any:
    raw, *others = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
    other = raw[:-1] + _SWAPPED[raw[-1]]
    return tile._replace(args=(other, *others) if isinstance(tile[3], tuple) else other)

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
    again = reopened()
    again.tile = [_of_other_bytes(tile) for tile in again.tile]  # type: ignore[attr-defined]
    again.load()
    other = np.asarray(again)
    values = _of_pairs(other, order) if raw.startswith("LA") else np.asarray(image, np.uint16) * 256 + other
    made = Image.fromarray(_fitted(values[..., :3]))
    if image.mode == "RGBA":
        made.putalpha(Image.fromarray(_fitted(values[..., 3])))  # of as few bits, or of all 16
    made.info = image.info
    return made


def _fitted(values: NDArray[np.uint16]) -> NDArray[np.uint8]:
    return eight_bits(values, next((top for top in TOPS if values.max() <= top), 65535))


def _of_pairs(pairs: NDArray[np.uint8], order: str) -> NDArray[np.uint16]:
    """Grey and alpha (H, W, 4), two bytes each, → (H, W, 4): red, green, blue, alpha."""
    first, second = pairs[..., 0::2].astype(np.uint16), pairs[..., 1::2].astype(np.uint16)
    little = order == "L" or (order == "N" and sys.byteorder == "little")
    both = second * 256 + first if little else first * 256 + second
    return both[..., [0, 0, 0, 1]]


def _of_other_bytes(tile: Any) -> Any:
    """The tile read by the lower bytes; of grey with alpha, which Pillow reads so in one order only, by all four."""
    raw, *others = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
    other = "RGBA" if raw.startswith("LA") else raw[:-1] + _SWAPPED[raw[-1]]
    return tile._replace(args=(other, *others) if isinstance(tile[3], tuple) else other)

"""Colour of 16 bits a sample: Pillow keeps the upper byte of each, which is nothing where 10 or 12 bits stand in it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
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
    name, _, order = raw.partition(";16")
    if name not in ("RGB", "RGBA", "RGBX") or order not in _SWAPPED:
        return image
    colours = image.getextrema()[:3]
    if max(int(top) for _, top in colours) > _DARK:  # type: ignore[misc]
        return image
    low = reopened()
    other = f"{name};16{_SWAPPED[order]}"
    low.tile = [_with_rawmode(tile, other) for tile in low.tile]  # type: ignore[attr-defined]
    low.load()
    values = np.asarray(image, np.uint16) * 256 + np.asarray(low, np.uint16)
    top = next((top for top in TOPS if values[..., :3].max() <= top), 65535)
    made = Image.fromarray(eight_bits(values[..., :3], top))
    if image.mode == "RGBA":
        made.putalpha(image.getchannel("A"))
    made.info = image.info
    return made


def _with_rawmode(tile: Any, other: str) -> Any:
    args = tile[3]
    return tile._replace(args=(other, *args[1:]) if isinstance(args, tuple) else other)

"""What the tags of a TIFF say of its numbers where Pillow reads them otherwise (TIFF 6.0): the order of their bytes,
planes, sign, which end is white, and how much a palette holds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImagePalette

_BITS, _WHITE_OR_BLACK, _PLANES, _PALETTE, _SIGN = 258, 262, 284, 320, 339
_APART, _SIGNED = 2, 2
# libtiff gives numbers in the machine's own order, whatever the file's is.
_OWN_ORDER = {"F;32BF": "F;32NF", "I;32BS": "I;32NS", "I;16BS": "I;16NS"}


def correct_reading(image: Image.Image) -> None:
    """Makes an opened TIFF, before it is loaded, be read as its tags say."""
    tags: Any = image.tag_v2  # type: ignore[attr-defined]
    palette = tags.get(_PALETTE, ())
    if image.mode in ("P", "PA") and max(palette, default=256) < 256:  # of 8 bits, as libtiff takes it, too
        image.palette = ImagePalette.raw("RGB;L", bytes(palette))
    tiles = image.tile  # type: ignore[attr-defined]
    if tiles and tiles[0].codec_name == "libtiff":
        raw, *others = tiles[0].args
        image.tile = [tiles[0]._replace(args=(_OWN_ORDER.get(raw, raw), *others))]  # type: ignore[attr-defined]
    elif tags.get(_PLANES) == _APART and _first(tags.get(_BITS)) == 16:  # Pillow names the plane alone
        order = "L" if tags.prefix == b"II" else "B"
        image.tile = [  # type: ignore[attr-defined]
            tile._replace(args=(f"{tile.args[0]};16{order}", *tile.args[1:])) for tile in tiles
        ]


def numbers(image: Image.Image) -> NDArray[Any]:
    """The numbers of a loaded picture of one channel, with the sign that its tags give them."""
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return values
    bits, is_signed = _first(tags.get(_BITS)), _first(tags.get(_SIGN)) == _SIGNED
    if image.mode == "I" and bits == 32 and not is_signed:
        return values.view(np.uint32)
    if image.mode == "I" and bits == 16 and is_signed:
        return values.astype(np.int16)
    if image.mode == "L" and bits == 8 and is_signed:
        return values.view(np.int8)
    return values


def is_negative(image: Image.Image) -> bool:
    """Whether the least number of a picture of one channel is white; up to 8 bits Pillow has turned it already."""
    tags = getattr(image, "tag_v2", None)
    return tags is not None and tags.get(_WHITE_OR_BLACK) == 0 and (_first(tags.get(_BITS)) or 0) > 8


def declared_bits(image: Image.Image) -> int | None:
    """Bits of a sample, as a TIFF tells them."""
    tags = getattr(image, "tag_v2", None)
    return None if tags is None else _first(tags.get(_BITS))


def _first(value: Any) -> int | None:
    return int(value[0]) if isinstance(value, tuple) and value else None

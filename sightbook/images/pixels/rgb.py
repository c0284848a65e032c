"""Every Pillow mode → RGB of 8 bits in sRGB, transparency laid on white."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightbook.images.pixels.colour import profile_of, to_srgb
from sightbook.images.pixels.numbers import declared_bits, is_negative, numbers

# Of 8, 10 and 12 bits, as they stand in files of 16.
TOPS = (255, 1023, 4095)


def to_rgb(image: Image.Image) -> Image.Image:
    """The loaded picture in mode RGB and in sRGB (`colour`); transparent parts show white.

    - 16-bit grey covers 0 … 65535 (v/257, rounded), or 0 … 255, 0 … 1023 or 0 … 4095 when the values fit: cameras and
      scanners of 10 and 12 bits write such files, which would be all but black (docs/log.md: mAP .38 in place of .57).
    - 32-bit integers, numbers with a sign and floats have no agreed range: 0 … 1 (floats) and the ranges above are
      taken as such when the values fit, anything else is stretched from its least to its greatest value.
    - A TIFF whose least number is white is turned.
    """
    mode = image.mode
    profile = profile_of(image)
    if mode == "RGB" and profile is None and "transparency" not in image.info:
        return image
    if mode == "LAB":
        return _from_lab(image)
    values = numbers(image) if mode[0] in "IF" or (mode == "L" and hasattr(image, "tag_v2")) else None
    if mode.startswith("I;16"):
        assert values is not None
        grey = eight_bits(values, _top(values, declared_bits(image)))
        image = _with_key(image, 255 - grey if is_negative(image) else grey)
    elif mode in ("I", "F") or (values is not None and values.dtype == np.int8):
        assert values is not None
        grey = _stretch(values)
        image = Image.fromarray(255 - grey if is_negative(image) else grey)
    elif mode in ("La", "RGBa"):
        image = image.convert(mode.upper())
    if image.has_transparency_data:
        return _on_white(image, profile)
    if image.mode not in ("RGB", "L", "CMYK"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return to_srgb(image, profile)


def _on_white(image: Image.Image, profile: bytes | None) -> Image.Image:
    seen = image if image.mode in ("RGBA", "LA") else image.convert("RGBA")
    alpha = seen.getchannel("A")
    colours = seen.getchannel("L") if seen.mode == "LA" else seen.convert("RGB")
    opaque = Image.new("RGB", image.size, "white")
    opaque.paste(to_srgb(colours, profile), mask=alpha)
    return opaque


def _with_key(image: Image.Image, grey: NDArray[np.uint8]) -> Image.Image:
    """16-bit grey at eight bits; the values of a transparent colour, which PNG may name, are transparent."""
    made, key = Image.fromarray(grey), image.info.get("transparency")
    if isinstance(key, int):
        made.putalpha(Image.fromarray(np.where(np.asarray(image) == key, 0, 255).astype(np.uint8)))
    return made


def _top(values: NDArray[Any], declared: int | None) -> int:
    """The value that is white."""
    if declared in (10, 12, 14):
        return (1 << declared) - 1
    return next(top for top in (*TOPS, 65535) if int(values.max(initial=0)) <= top)


def eight_bits(values: NDArray[Any], top: int) -> NDArray[np.uint8]:
    """Integers 0 … top as 0 … 255, rounded."""
    scaled = (values.astype(np.uint32) * 255 + top // 2) // top
    return np.minimum(scaled, 255).astype(np.uint8)


def _stretch(values: NDArray[Any]) -> NDArray[np.uint8]:
    floats = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(floats.min()), float(floats.max())
    if low >= 0 and high <= 1 and values.dtype.kind == "f":
        low, high = 0.0, 1.0
    elif low >= 0 and high <= 65535:
        tops = (*TOPS, 32767 if values.dtype == np.int16 else 65535)
        low, high = 0.0, next(float(top) for top in tops if high <= top)
    scale = 255.0 / (
        (high - low) or 1.0
    )  # scaled before the shift: the difference of two floats may overflow
    scaled: NDArray[np.uint8] = np.clip(np.rint(floats * scale - low * scale), 0, 255).astype(np.uint8)
    return scaled


def _from_lab(image: Image.Image) -> Image.Image:
    from PIL import ImageCms  # rare, and half a megabyte of colour tables

    lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.applyTransform(image, ImageCms.buildTransform(lab, rgb, "LAB", "RGB"))
    assert converted is not None  # None only when asked to work in place
    return converted

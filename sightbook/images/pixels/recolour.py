"""Pixels → pixels of another size, or in another light: what measures on pictures compare by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

_JITTER, _HUE = 0.5, 0.15  # factors of light, contrast, colour 1 ± .5; turns of the colour circle


def stretch(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) → (height, width, 3), bilinear."""
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR), np.uint8)


def recolour(pixels: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) in a light and colours by chance, half of them in none."""
    picture = Image.fromarray(pixels)
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = change(picture).enhance(random.uniform(1 - _JITTER, 1 + _JITTER))
    hue, saturation, value = picture.convert("HSV").split()
    turn = round(256 * random.uniform(-_HUE, _HUE))
    hue = hue.point([(step + turn) % 256 for step in range(256)])
    turned = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
    return np.asarray(turned.convert("L").convert("RGB") if random.random() < 0.5 else turned, np.uint8)

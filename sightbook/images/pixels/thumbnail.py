"""The smallest picture that still has its colours in place: what every learned code must be better than."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 8


def thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels (S, S, 3) uint8 → means over an 8 × 8 grid, (192,) uint8."""
    small = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(small, np.uint8).reshape(-1)

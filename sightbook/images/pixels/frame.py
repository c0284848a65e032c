"""The one fixed view of a picture that encoders see: shorter side to `resize`, centre square of `size`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightbook.errors import ConfigError

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True, slots=True)
class Frame:
    """A square view of `size` pixels, cut from the centre after the shorter side became `resize` pixels."""

    size: int
    resize: int
    resample: Literal["bilinear", "bicubic"] = "bilinear"

    def __post_init__(self) -> None:
        if self.size < 1 or self.resize < self.size:
            raise ConfigError(
                f"The frame's size ({self.size}) must be 1 … resize ({self.resize}): change either."
            )
        if self.resample not in _FILTERS:
            raise ConfigError(
                f"The frame's resample '{self.resample}' is unknown: use {' or '.join(_FILTERS)}."
            )

    def apply(self, image: Image.Image) -> NDArray[np.uint8]:
        """A picture of mode RGB → (size, size, 3) uint8; one of exactly that size as it is."""
        width, height = image.size
        if (width, height) == (self.size, self.size):
            return np.array(image)
        # Resizing the centre square alone equals resizing everything and cropping (Pillow's filter still sees
        # the pixels around the box), costs less, and keeps a 1 x 50,000 strip from growing to gigapixels.
        half = self.size * min(width, height) / self.resize / 2
        box = (width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half)
        return np.array(image.resize((self.size, self.size), _FILTERS[self.resample], box=box))

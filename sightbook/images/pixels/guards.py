"""What one picture may take: pixels in memory, bytes of file, seconds of decoding."""

from __future__ import annotations

import os
from dataclasses import dataclass

from sightbook.errors import ConfigError, PictureError

MEGAPIXELS, MEGABYTES, SECONDS = "SIGHTBOOK_MEGAPIXELS", "SIGHTBOOK_MEGABYTES", "SIGHTBOOK_SECONDS"


@dataclass(frozen=True, slots=True)
class Guards:
    """Limits of one picture: `megapixels` (10^6) that are held at once, `megabytes` (10^6) of file, and `seconds` of
    reading and decoding, which hold where processes of our own decode."""

    megapixels: float = 200
    megabytes: float = 100
    seconds: float = 60

    @property
    def bytes(self) -> int:
        """The limit of the file's size in bytes."""
        return int(self.megabytes * 1e6)

    def check_size(self, width: int, height: int) -> None:
        """PictureError when a picture has no pixels, or more than may be held."""
        if width < 1 or height < 1:
            raise PictureError("it has no pixels")
        if width * height > self.megapixels * 1e6:
            raise PictureError(
                f"its {width} x {height} pixels are over the limit of {self.megapixels:g} megapixels "
                f"({MEGAPIXELS} raises it)"
            )

    def check_bytes(self, size: int) -> None:
        """PictureError when a file is larger than may be read."""
        if size > self.bytes:
            raise too_large(size, self.bytes)


def limits() -> Guards:
    """The guards that hold here: those of the environment, else the defaults. ConfigError for what is no number."""
    standard = Guards()
    return Guards(
        _number(MEGAPIXELS, standard.megapixels),
        _number(MEGABYTES, standard.megabytes),
        _number(SECONDS, standard.seconds),
    )


def too_large(size: int, limit: int) -> PictureError:
    """The refusal of a file over the byte guard."""
    return PictureError(
        f"its {size / 1e6:.0f} MB are over the limit of {limit / 1e6:g} MB ({MEGABYTES} raises it)"
    )


def _number(name: str, standard: float) -> float:
    text = os.environ.get(name, "").strip()
    if not text:
        return standard
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ConfigError(f"The environment's {name} is '{text}': give a number above 0, or unset it.")
    return value

"""What becomes of an entry: `Loaded` with framed pixels, or `Failed` with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from sightbook.errors import PictureError, SourceError
from sightbook.images.entry import Entry
from sightbook.images.load.apart import frame_apart
from sightbook.images.names import escape
from sightbook.images.ours import DRAWN, is_drawn
from sightbook.images.pixels.about import About
from sightbook.images.pixels.frame import Frame
from sightbook.images.pixels.guards import Guards
from sightbook.images.pixels.picture import frame_picture


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A picture ready for the encoder: pixels (size, size, 3) uint8, `digest` of the file's bytes, and what the picture
    tells about itself."""

    entry: Entry
    digest: bytes
    pixels: NDArray[np.uint8]
    about: About


@dataclass(frozen=True, slots=True)
class Failed:
    """A picture that could not be loaded, and why in a few words."""

    entry: Entry
    reason: str


def digest(data: bytes) -> bytes:
    """BLAKE2b of a file's content, 16 bytes."""
    return blake2b(data, digest_size=16).digest()


def load_one(entry: Entry, frame: Frame, guards: Guards, *, apart: bool = False) -> Loaded | Failed:
    """Reads, hashes, decodes and frames one picture; raises SourceError when its whole source is gone, or one of
    vectors. apart: in another process where its decoder might hold up or end this one."""
    if entry.origin is not None and entry.is_vector:
        raise SourceError(
            f"There are vectors in {escape(entry.origin.root)}, and pictures are wanted here: give vectors and "
            "pictures apart, and vectors to a model that was learned from such."
        )
    try:
        data = entry.read(guards.bytes)
        if is_drawn(data):
            return Failed(entry, DRAWN)
        framed = (frame_apart if apart else frame_picture)(data, frame, guards)
        return Loaded(entry, digest(data), *framed)
    except PictureError as error:
        return Failed(entry, str(error))
    except MemoryError:
        return Failed(entry, "there is not enough memory to load it")

"""Query pictures as users hand them over → pixels for the encoder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightbook.errors import PictureError
from sightbook.images.names import existing
from sightbook.model.model import Model

# A path, the bytes of a picture file, an RGB array (H, W, 3) uint8, or a Pillow image.
Picture = str | os.PathLike[str] | bytes | NDArray[np.uint8] | Any


def listed(images: Picture | Sequence[Picture]) -> list[Picture]:
    """The query pictures of one search: a list or tuple is several, an array (Q, H, W, 3) too."""
    if isinstance(images, np.ndarray):
        return list(images) if images.ndim == 4 else [images]
    return list(images) if isinstance(images, list | tuple) else [images]


def at_hand(query: Picture) -> Picture:
    """A query's path as its file is really called (see `images.names.existing`); anything else as it is."""
    if isinstance(query, str | os.PathLike):
        return existing(os.fsdecode(query)) or query
    return query


def pixels(picture: Picture, model: Model) -> NDArray[np.uint8]:
    """One query picture → (S, S, 3) uint8. Raises PictureError when it cannot be read or is no picture."""
    try:
        if isinstance(picture, str | os.PathLike):
            return model.prepare(_read(Path(picture)))
        if isinstance(picture, bytes | bytearray | memoryview):
            return model.prepare(bytes(picture))
    except PictureError as error:
        if isinstance(picture, str | os.PathLike):
            error.add_note(f"query picture: {os.fspath(picture)}")
        raise
    if hasattr(picture, "getexif"):
        from PIL import ImageOps

        image: Any = picture
        picture = ImageOps.exif_transpose(image).convert("RGB")
    rgb = np.asarray(picture)
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
        raise PictureError(f"a query array must be (height, width, 3) uint8 RGB, not {rgb.shape} {rgb.dtype}")
    return model.frame.apply(np.ascontiguousarray(rgb))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise PictureError("there is no such file: check the path of the query picture") from None
    except IsADirectoryError:
        raise PictureError("it is a folder: give a picture file as the query") from None
    except OSError as error:
        raise PictureError(f"the file cannot be read ({error.strerror}): check its permissions") from None

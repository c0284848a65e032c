"""Query pictures as users hand them over → pixels for the encoder."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sightbook.errors import PictureError
from sightbook.images.picture import Picture
from sightbook.model.model import Model


def listed(images: Picture | Sequence[Picture]) -> list[Picture]:
    """The query pictures of one search: a list or tuple is several, an array (Q, H, W, 3) too."""
    if isinstance(images, np.ndarray):
        return list(images) if images.ndim == 4 else [images]
    return list(images) if isinstance(images, list | tuple) else [images]


def pixels(picture: Picture, model: Model) -> NDArray[np.uint8]:
    """One query picture → (S, S, 3) uint8. Raises PictureError when it cannot be read or is no picture."""
    try:
        return model.prepare(picture)
    except PictureError as error:
        if isinstance(picture, str | os.PathLike):
            error.add_note(f"query picture: {os.fspath(picture)}")
        raise

"""Arrays as a model takes them. ConfigError in a sentence for any other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightbook.arguments import array
from sightbook.errors import ConfigError


def pixels(values: Any, size: int) -> NDArray[np.uint8]:
    """Pixels (N, size, size, 3) uint8."""
    found = array(values, "pixels", ("N", size, size, 3), "u")
    if found.dtype != np.uint8:
        raise ConfigError(f"pixels are {found.dtype}: give uint8, 0 to 255, as Model.prepare does")
    return found


def embeddings(x: Any, D: int) -> NDArray[np.float32]:
    """Embeddings (N, D) as float32."""
    return np.asarray(array(x, "x", ("N", D)), np.float32)


def codes(values: Any, M: int, K: int) -> NDArray[np.uint8]:
    """Codes (N, M) as uint8."""
    found = small(values, "codes", M)
    if found.size and int(found.max()) >= K:
        raise ConfigError(f"codes hold {int(found.max())}: codewords count from 0 to {K - 1}")
    return found


def small(values: Any, name: str, width: int) -> NDArray[np.uint8]:
    """Whole numbers 0 to 255, (N, width), as uint8."""
    found = array(values, name, ("N", width), "iu")
    if found.dtype != np.uint8:
        if found.size and not 0 <= int(found.min()) <= int(found.max()) <= 255:
            raise ConfigError(f"{name} hold numbers that are not 0 to 255: give uint8")
        found = found.astype(np.uint8)
    return found

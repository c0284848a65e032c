"""Decompositions of square matrices, by one thread (`sightbook.threads` tells why)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightbook.threads import one_thread

Doubles = NDArray[np.float64]


def eigh(matrix: NDArray[np.floating]) -> tuple[Doubles, Doubles]:
    """Eigenvalues (F,), ascending, and eigenvectors (F, F) in columns of a symmetric matrix."""
    with one_thread():
        values, vectors = np.linalg.eigh(np.asarray(matrix, np.float64))
    return values, vectors


def solve(matrix: NDArray[np.floating], target: NDArray[np.floating]) -> Doubles:
    """The matrix X with matrix · X = target."""
    with one_thread():
        return np.asarray(np.linalg.solve(matrix, target), np.float64)

"""Decompositions of square matrices, by one thread.

Where another process wants the cores, the threads of OpenBLAS wait for each other busily: an eigendecomposition of
1,280 numbers took twenty times as long by two threads as by one (docs/log.md). Alone, two save little.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Doubles = NDArray[np.float64]


def eigh(matrix: NDArray[np.floating]) -> tuple[Doubles, Doubles]:
    """Eigenvalues (F,), ascending, and eigenvectors (F, F) in columns of a symmetric matrix."""
    with threadpool_limits(1, user_api="blas"):
        values, vectors = np.linalg.eigh(np.asarray(matrix, np.float64))
    return values, vectors


def solve(matrix: NDArray[np.floating], target: NDArray[np.floating]) -> Doubles:
    """The matrix X with matrix · X = target."""
    with threadpool_limits(1, user_api="blas"):
        return np.asarray(np.linalg.solve(matrix, target), np.float64)

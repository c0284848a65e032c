"""The baseline without a network: an 8 × 8 colour thumbnail, reduced by PCA and quantized by plain PQ.

All of it is learned from the database without labels and with a fixed seed. Choices, made by the reconstruction error
on CIFAR-10's training pictures, not by labels: one PCA dimension for each bit, and dimensions dealt out to the
sub-vectors so that their variances have about the same product, which lost about half of what plain PCA order loses.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightbook.codes.products import SEED, deal
from sightbook.describe.linear import eigh
from sightbook.evaluate.classic import Coded, centre, products, shape

_SAMPLE = 1 << 14  # pictures that k-means learns from: 64 a codeword


def quantize(queries: NDArray[np.uint8], database: NDArray[np.uint8], bits: int) -> Coded:
    """Thumbnails (Q, 192), (N, 192) uint8 → codes of `bits` bits. Unsuitable when the
    database is too small to learn them.

    Of length 1, less the database's mean, and of length 1 again (the cosine of centred thumbnails); rotated and cut by
    PCA.
    """
    N = len(database)
    M, nbits = shape(N, bits)
    asked, stored = centre(queries.astype(np.float32), database.astype(np.float32))
    axes = _axes(stored, M, min(bits, database.shape[1]) // M)
    chosen = np.sort(np.random.default_rng(SEED).choice(N, min(N, _SAMPLE), replace=False))
    asked, stored = (np.ascontiguousarray(x @ axes, np.float32) for x in (asked, stored))
    return products(asked, stored, M, nbits, stored[chosen])


def _axes(x: NDArray[np.float32], M: int, d: int) -> NDArray[np.float32]:
    """Principal axes of x (N, 192) as columns (192, M·d), those of a sub-vector side by side."""
    variance, vectors = eigh(x.T @ x / len(x))
    falling = np.argsort(-variance, kind="stable")[: M * d]
    axes = np.empty((len(variance), M * d), np.float32)
    axes[:, deal(np.maximum(variance[falling], 0).tolist(), M, d)] = vectors[:, falling]
    return axes

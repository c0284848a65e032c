"""The baseline without a network: an 8 × 8 colour thumbnail, reduced by PCA and quantized by plain PQ.

All of it is learned from the database without labels and with a fixed seed. Choices, made by the reconstruction error
on CIFAR-10's training pictures, not by labels: one PCA dimension for each bit, and dimensions dealt out to the
sub-vectors so that their variances have about the same product (as in parametric OPQ, Ge et al. 2013): .12 of the
variance is lost at 64 bits, against .23 in plain PCA order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightbook.codes.pack import unpack
from sightbook.codes.tables import tables

SIDE = 8
_SEED = 1234


def thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels (S, S, 3) uint8 → means over an 8 × 8 grid, (192,) uint8."""
    small = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(small, np.uint8).reshape(-1)


@dataclass(frozen=True)
class Quantized:
    """tables (Q, M, K) float32 and symmetric_tables alike, codes (N, M) uint8: the score is minus the squared distance,
    up to a constant of the query."""

    tables: NDArray[np.float32]
    symmetric_tables: NDArray[np.float32]
    codes: NDArray[np.uint8]


def quantize(queries: NDArray[np.uint8], database: NDArray[np.uint8], bits: int) -> Quantized | None:
    """Thumbnails (Q, 192), (N, 192) uint8 → codes of `bits` bits; None when the database is too small to learn them.

    Centred by the database's mean and set to length 1 (the cosine of centred thumbnails), rotated and cut by PCA.
    """
    import faiss

    N = len(database)
    # 8-bit codebooks are better at equal bits, but want some ten pictures a codeword.
    nbits = 8 if bits % 8 == 0 and N >= 2560 else 4
    M, K = bits // nbits, 1 << nbits
    if N < K or bits % nbits or database.shape[1] < M:
        return None
    mean = database.mean(axis=0, dtype=np.float64)
    stored = _unit(database - mean)
    axes = _axes(stored, M, min(bits, database.shape[1]) // M)
    learn, asked = (np.ascontiguousarray(x @ axes, np.float32) for x in (stored, _unit(queries - mean)))
    quantizer = faiss.ProductQuantizer(axes.shape[1], M, nbits)
    quantizer.cp.seed = _SEED
    quantizer.cp.min_points_per_centroid = 1  # else faiss prints a warning
    quantizer.train(learn)
    words = faiss.vector_to_array(quantizer.centroids).reshape(M, K, -1)
    squares = (words**2).sum(axis=2)
    codes, query_codes = (unpack(quantizer.compute_codes(x), M, K) for x in (learn, asked))
    rebuilt = words[np.arange(M), query_codes].reshape(len(asked), -1)
    return Quantized(2 * tables(asked, words) - squares, 2 * tables(rebuilt, words) - squares, codes)


def _unit(x: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    unit: NDArray[np.float64] = x / np.maximum(lengths, 1e-12)
    return unit


def _axes(x: NDArray[np.float64], M: int, d: int) -> NDArray[np.float64]:
    """Principal axes of x (N, 192) as columns (192, M·d), those of a sub-vector side by side."""
    variance, vectors = np.linalg.eigh(x.T @ x / len(x))
    falling = np.argsort(-variance, kind="stable")[: M * d]
    # log variance above the smallest kept: never negative, so that an emptier sub-vector is never the fuller one.
    weight = np.log(np.maximum(variance[falling], 1e-12))
    weight -= weight.min()
    rooms: list[list[int]] = [[] for _ in range(M)]
    load = [0.0] * M
    for axis, extra in zip(falling.tolist(), weight.tolist(), strict=True):
        m = min((m for m in range(M) if len(rooms[m]) < d), key=lambda m: load[m])
        rooms[m].append(axis)
        load[m] += extra
    axes: NDArray[np.float64] = vectors[:, [axis for room in rooms for axis in room]]
    return axes

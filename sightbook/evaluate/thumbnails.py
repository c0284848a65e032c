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

from sightbook.codes.tables import tables
from sightbook.describe.linear import eigh

_SEED = 1234
_SAMPLE = 1 << 14  # pictures that k-means learns from: 64 a codeword
_ROUNDS = 20
_ROWS = 4096  # at once: the distances to 256 words stay in the cache


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
    random = np.random.default_rng(_SEED)
    sample = learn[np.sort(random.choice(N, min(N, _SAMPLE), replace=False))].reshape(
        -1, M, axes.shape[1] // M
    )
    words = np.stack([k_means(sample[:, m], K, random) for m in range(M)])
    squares = (words**2).sum(axis=2)
    codes, query_codes = (assign_nearest(x, words) for x in (learn, asked))
    rebuilt = words[np.arange(M), query_codes].reshape(len(asked), -1)
    return Quantized(2 * tables(asked, words) - squares, 2 * tables(rebuilt, words) - squares, codes)


def k_means(x: NDArray[np.float32], K: int, random: np.random.Generator) -> NDArray[np.float32]:
    """Lloyd's algorithm: x (N, d) → K centres (K, d) float32, N at least K; a centre without points takes a random one.

    Ours rather than faiss's: its threads wait for each other busily, so that on a machine with other work a toy problem
    took a minute, and its sums depend on their number.
    """
    words = x[random.choice(len(x), K, replace=False)].astype(np.float32)
    for _ in range(_ROUNDS):
        nearest = _nearest(x, words)
        counts = np.bincount(nearest, minlength=K)
        for j in range(x.shape[1]):
            words[:, j] = np.bincount(nearest, weights=x[:, j], minlength=K) / np.maximum(counts, 1)
        empty = np.flatnonzero(counts == 0)
        words[empty] = x[random.choice(len(x), len(empty))]
    return words


def assign_nearest(x: NDArray[np.float32], words: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Rows (N, M·d) and codebooks (M, K, d) → codes (N, M) uint8, the nearest codewords by Euclidean distance."""
    M, _, d = words.shape
    return np.stack([_nearest(x[:, m * d : (m + 1) * d], words[m]) for m in range(M)], axis=1).astype(
        np.uint8
    )


def _nearest(x: NDArray[np.float32], words: NDArray[np.float32]) -> NDArray[np.int64]:
    half = (words**2).sum(axis=1) / 2
    nearest = np.empty(len(x), np.int64)
    for start in range(0, len(x), _ROWS):
        nearest[start : start + _ROWS] = (x[start : start + _ROWS] @ words.T - half).argmax(axis=1)
    return nearest


def _unit(x: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    unit: NDArray[np.float64] = x / np.maximum(lengths, 1e-12)
    return unit


def _axes(x: NDArray[np.float64], M: int, d: int) -> NDArray[np.float64]:
    """Principal axes of x (N, 192) as columns (192, M·d), those of a sub-vector side by side."""
    variance, vectors = eigh(x.T @ x / len(x))
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

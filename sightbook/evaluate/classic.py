"""Codes without learning in the sense of this program, on the features of a backbone: LSH, PCA and sign, ITQ, PQ, OPQ.

Everything is learned from the database's features alone, centred by their mean and set to length 1 first, by faiss with
fixed seeds and one thread, so that the machine does not matter. Binary codes are written four bits to a codebook of 16,
so that the look-up tables of the search rank them, too: the float query against signs (as the table's main figure), or
signs against signs, which is the Hamming distance (symmetric).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightbook.codes.products import SEED, clusters, one_thread
from sightbook.codes.tables import Floats, assign, symmetric_tables, tables
from sightbook.words import counted, verb

_MOST_COMPONENTS = 128  # of the whitened floats
_WIDE = 16  # numbers of a sub-vector that OPQ keeps, as the learned codes have


@dataclass(frozen=True)
class Coded:
    """tables and symmetric_tables (Q, M, K) float32, codes (N, M) uint8."""

    tables: Floats
    symmetric_tables: Floats
    codes: NDArray[np.uint8]


class Unsuitable(Exception):
    """Why a baseline cannot be had on these pictures."""


def unit(x: Floats) -> Floats:
    """Rows of length 1."""
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    rows: Floats = np.ascontiguousarray(x / np.maximum(lengths, 1e-12), np.float32)
    return rows


def whitened(asked: Floats, stored: Floats) -> tuple[Floats, Floats]:
    """Principal components of variance 1, at most 128 of them, as rows of length 1."""
    asked, stored = centre(asked, stored)
    count = min(_MOST_COMPONENTS, stored.shape[1], len(stored) - 1)
    with one_thread() as faiss:
        transform = faiss.PCAMatrix(stored.shape[1], count, -0.5)
        transform.train(stored)
        return unit(transform.apply(asked)), unit(transform.apply(stored))


def lsh(asked: Floats, stored: Floats, bits: int) -> Coded:
    """Signs of random projections (Charikar 2002)."""
    asked, stored = centre(asked, stored)
    directions = np.random.default_rng(SEED).normal(size=(stored.shape[1], bits)).astype(np.float32)
    return _signs(asked @ directions, stored @ directions)


def pca_sign(asked: Floats, stored: Floats, bits: int) -> Coded:
    """Signs of the first principal components. Unsuitable when there are fewer than bits."""
    return _signs(*components(asked, stored, bits))


def itq(asked: Floats, stored: Floats, bits: int) -> Coded:
    """Iterative quantization (Gong and Lazebnik 2011): principal components, turned so that signs lose least.

    Unsuitable when there are fewer components than bits.
    """
    asked, stored = components(asked, stored, bits)
    with one_thread() as faiss:
        rotation = faiss.ITQMatrix(bits)
        rotation.train(stored)
        return _signs(rotation.apply(asked), rotation.apply(stored))


def pq(asked: Floats, stored: Floats, bits: int) -> Coded:
    """Product quantization by k-means on the features as they stand (Jegou and others 2011)."""
    asked, stored = centre(asked, stored)
    M, nbits = shape(len(stored), bits)
    room = -stored.shape[1] % M  # zeros where the features cannot be cut into M equal parts
    asked, stored = (np.pad(x, ((0, 0), (0, room))) for x in (asked, stored))
    return products(asked, stored, M, nbits)


def opq(asked: Floats, stored: Floats, bits: int) -> Coded:
    """Product quantization after a learned rotation (Ge and others 2013) to at most 16 numbers a sub-vector."""
    asked, stored = centre(asked, stored)
    M, nbits = shape(len(stored), bits)
    # faiss writes beyond its memory when it is to turn fewer rows than there are numbers to turn them to.
    width = min(_WIDE, stored.shape[1] // M, len(stored) // M)
    if width < 1:
        raise Unsuitable(
            f"{counted(len(stored), 'picture')} of {stored.shape[1]} features cannot be cut into {M} sub-vectors"
        )
    with one_thread() as faiss:
        rotation = faiss.OPQMatrix(stored.shape[1], M, M * width)
        quantizer = faiss.ProductQuantizer(M * width, M, nbits)
        quantizer.cp.min_points_per_centroid = 1
        rotation.pq = quantizer  # a bare pointer: `quantizer` must live as long as it is used
        rotation.train(stored)
        asked, stored = rotation.apply(asked), rotation.apply(stored)
    return products(asked, stored, M, nbits)


def centre(asked: Floats, stored: Floats) -> tuple[Floats, Floats]:
    """Both as rows of length 1, less the mean of those stored, and of length 1 again."""
    mean = unit(stored).mean(axis=0, dtype=np.float64).astype(np.float32)
    return unit(unit(asked) - mean), unit(unit(stored) - mean)


def components(asked: Floats, stored: Floats, count: int) -> tuple[Floats, Floats]:
    """The first principal components of stored (N, F), centred, as asked (Q, count) and stored (N, count) have them.
    Unsuitable when there are fewer."""
    if min(stored.shape[1], len(stored) - 1) < count:
        raise Unsuitable(
            f"{counted(len(stored), 'picture')} of {stored.shape[1]} features {verb(len(stored), 'have')} fewer than "
            f"{count} principal components"
        )
    asked, stored = centre(asked, stored)
    with one_thread() as faiss:
        transform = faiss.PCAMatrix(stored.shape[1], count)
        transform.train(stored)
        return transform.apply(asked), transform.apply(stored)


def _signs(asked: Floats, stored: Floats) -> Coded:
    """Signs of projections (Q, bits), (N, bits): bit j of codebook m is the sign of number 4m + j."""
    weights = np.array([1, 2, 4, 8])
    words = np.where(np.arange(16)[:, None] & weights, 1.0, -1.0).astype(np.float32)  # (16, 4)
    parts = asked.reshape(len(asked), -1, 4)
    codes = ((stored > 0).reshape(len(stored), -1, 4) @ weights).astype(np.uint8)
    return Coded(
        np.ascontiguousarray(parts @ words.T, np.float32),
        np.ascontiguousarray(np.where(parts > 0, 1.0, -1.0) @ words.T, np.float32),
        codes,
    )


def shape(count: int, bits: int) -> tuple[int, int]:
    """(M, bits of a codebook) of a product: 256 codewords wherever there are pictures for them, as `neighbours` takes,
    else 16: a collection that is learned from and searched is told apart better by them however small it is."""
    nbits = 8 if bits % 8 == 0 and count >= 1 << 8 else 4
    if count < 1 << nbits:
        raise Unsuitable(
            f"{counted(count, 'picture')} {verb(count, 'are')} too few to learn {1 << nbits} codewords"
        )
    return bits // nbits, nbits


def products(asked: Floats, stored: Floats, M: int, nbits: int, learned: Floats | None = None) -> Coded:
    """Codes of M k-means of 2^nbits codewords, from the rows `learned` (default: all stored): the score is minus the
    squared distance, up to a constant of the query."""
    words = clusters(stored if learned is None else learned, M, 1 << nbits)
    codes = assign(stored, words, "distance")
    squares = (words**2).sum(axis=2)
    return Coded(
        2 * tables(asked, words) - squares,
        2 * symmetric_tables(assign(asked, words, "distance"), words) - squares,
        codes,
    )

"""Nearest neighbours by cosine inside one collection, and which of its pictures are copies of one another.

Exact up to some ten thousand rows (one matrix product, block by block). Beyond, candidates come from the same products
over the first principal components and are ordered by all numbers: the neighbours a description learns from need not be
complete, and nothing has to be built or tuned.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from sightbook.codes.tables import Floats
from sightbook.describe.linear import eigh
from sightbook.describe.vectors import unit

EXACT = 20_000
COMPONENTS = 128  # by which candidates are found
_PER_NEIGHBOUR = 4  # candidates by the first components for each neighbour wanted
SCORES = 1 << 23  # in a block: 32 MiB, and twice as much for their places

# A cosine (of centred features) above which two rows are one picture: saved again, another size, the next of a burst.
SAME = 0.99
_WORTH = 4  # columns in a group, at least


def neighbours(x: Floats, k: int, rows: NDArray[np.int64] | None = None) -> tuple[NDArray[np.int64], Floats]:
    """The k nearest others of rows of x (N, F), unit float32: places (n, k) int64 and cosines (n, k), best first.

    rows (n,): whose neighbours are asked for (default: all). k is at most N - 1. Equal cosines: the lower place.
    """
    rows = np.arange(len(x)) if rows is None else rows
    if len(x) <= EXACT:
        return _top(x, x, rows, k)
    short = _components(x)
    count = min(_PER_NEIGHBOUR * k, len(x) - 1)
    candidates, _ = _top(short, short, rows, count)
    places = np.empty((len(rows), k), np.int64)
    cosines = np.empty((len(rows), k), np.float32)
    step = max(1, SCORES // (count * x.shape[1]))
    for start in range(0, len(rows), step):
        some = candidates[start : start + step]
        exact = np.einsum("nf,ncf->nc", x[rows[start : start + step]], x[some])
        order = np.lexsort((some, -exact), axis=1)[:, :k]
        places[start : start + step] = np.take_along_axis(some, order, 1)
        cosines[start : start + step] = np.take_along_axis(exact, order, 1)
    return places, cosines


def _top(asked: Floats, stored: Floats, rows: NDArray[np.int64], k: int) -> tuple[NDArray[np.int64], Floats]:
    places = np.empty((len(rows), k), np.int64)
    cosines = np.empty((len(rows), k), np.float32)
    step = max(1, SCORES // len(stored))
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        scores = asked[some] @ stored.T
        scores[np.arange(len(some)), some] = -np.inf
        best, found = largest(scores, k)
        places[start : start + step], cosines[start : start + step] = best, found
    return places, cosines


def largest(scores: Floats, k: int) -> tuple[NDArray[np.int64], Floats]:
    """The k largest of each row of scores (n, N), best first: places (n, k) int64 and scores (n, k).

    The columns are dealt into groups; the k largest lie in the k groups with the largest maxima, and only those are
    partitioned: some ten times faster than partitioning whole rows. Equal scores: the lower place, among those found.
    """
    n, N = scores.shape
    size = math.isqrt(N // k)
    if size < _WORTH:
        return _ordered(np.argpartition(scores, -k, axis=1)[:, -k:].astype(np.int64), scores, k)
    groups = N // size
    maxima = scores[:, : size * groups].reshape(n, size, groups).max(axis=1)
    best = np.argpartition(maxima, -k, axis=1)[:, -k:].astype(np.int64)
    members = (best[:, :, None] + groups * np.arange(size)).reshape(n, -1)
    rest = np.broadcast_to(np.arange(size * groups, N), (n, N - size * groups))  # columns of no group
    candidates = np.concatenate([members, rest], axis=1)
    some = np.argpartition(np.take_along_axis(scores, candidates, 1), -k, axis=1)[:, -k:]
    return _ordered(np.take_along_axis(candidates, some, 1), scores, k)


def _ordered(places: NDArray[np.int64], scores: Floats, k: int) -> tuple[NDArray[np.int64], Floats]:
    found = np.take_along_axis(scores, places, 1)
    order = np.lexsort((places, -found), axis=1)[:, :k]
    return np.take_along_axis(places, order, 1), np.take_along_axis(found, order, 1)


def _components(x: Floats) -> Floats:
    """The first principal components of x, as rows of length 1."""
    sample = x[:: max(1, len(x) // EXACT)]
    _, vectors = eigh(sample.T @ sample)
    return unit(x @ vectors[:, ::-1][:, :COMPONENTS].astype(np.float32))


def distinct(rows: Iterable[NDArray[np.generic]]) -> NDArray[np.int64]:
    """Places of rows of which none is equal to another: of equal ones the first; ascending.

    By digests of 16 bytes: sorting the rows themselves would hold them twice more.
    """
    first: dict[bytes, int] = {}
    for place, row in enumerate(rows):
        first.setdefault(blake2b(row.tobytes(), digest_size=16).digest(), place)
    return np.fromiter(first.values(), np.int64, len(first))


def without_copies(x: Floats) -> NDArray[np.int64]:
    """Places of rows of x (N, F), unit float32, that are not nearly equal to an earlier one, ascending: of a burst of
    one thing the first.

    Copies would be each other's only neighbours, and teach nothing about what differs between pictures of one kind.
    """
    kept = np.ones(len(x), np.bool_)
    short = x if len(x) <= EXACT else _components(x)
    step = max(1, SCORES // max(1, len(x)))
    for start in range(0, len(x), step):
        some = slice(start, start + step)
        scores = short[some] @ short[: start + step].T
        scores[:, start:][~np.tri(len(scores), k=-1, dtype=np.bool_)] = -np.inf  # itself, and later ones
        nearest = scores.argmax(axis=1)
        kept[some] = np.einsum("nf,nf->n", x[some], x[nearest]) < SAME
    kept[:1] = True  # nothing comes before the first
    return np.flatnonzero(kept)

"""Nearest neighbours by cosine inside one collection, and which of its pictures are copies of one another.

Exact up to some ten thousand rows (one matrix product, block by block). Beyond, candidates come from the same products
over the first principal components and are ordered by all numbers: the neighbours a description learns from need not be
complete, and nothing has to be built or tuned.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from sightbook.codes.tables import Floats
from sightbook.describe.linear import eigh
from sightbook.describe.vectors import unit

EXACT = 20_000
_COMPONENTS = 128
_PER_NEIGHBOUR = 4  # candidates by the first components for each neighbour wanted
_SCORES = 1 << 23  # in a block: 32 MiB, and twice as much for their places

# A cosine (of centred features) above which two rows are one picture: saved again, another size, the next of a burst.
SAME = 0.99
_PASSES = 4


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
    step = max(1, _SCORES // (count * x.shape[1]))
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
    step = max(1, _SCORES // len(stored))
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        scores = asked[some] @ stored.T
        scores[np.arange(len(some)), some] = -np.inf
        best = np.argpartition(scores, -k, axis=1)[:, -k:].astype(np.int64)
        found = np.take_along_axis(scores, best, 1)
        order = np.lexsort((best, -found), axis=1)
        places[start : start + step] = np.take_along_axis(best, order, 1)
        cosines[start : start + step] = np.take_along_axis(found, order, 1)
    return places, cosines


def _components(x: Floats) -> Floats:
    """The first principal components of x, as rows of length 1."""
    sample = x[:: max(1, len(x) // EXACT)]
    _, vectors = eigh(sample.T @ sample)
    return unit(x @ vectors[:, ::-1][:, :_COMPONENTS].astype(np.float32))


def distinct(rows: Iterable[NDArray[np.generic]]) -> NDArray[np.int64]:
    """Places of rows of which none is equal to another: of equal ones the first; ascending.

    By digests of 16 bytes: sorting the rows themselves would hold them twice more.
    """
    first: dict[bytes, int] = {}
    for place, row in enumerate(rows):
        first.setdefault(blake2b(row.tobytes(), digest_size=16).digest(), place)
    return np.fromiter(first.values(), np.int64, len(first))


def without_copies(x: Floats) -> NDArray[np.int64]:
    """Rows of x (N, F), unit float32, of which none is nearly equal to another: of a burst of one thing the first.

    Copies would be each other's only neighbours, and teach nothing about what differs between pictures of one kind.
    """
    kept = np.arange(len(x))
    for _ in range(_PASSES):
        if len(kept) < 2:
            break
        some = x if len(kept) == len(x) else x[kept]
        places, cosines = neighbours(some, min(8, len(kept) - 1))
        first = _first_of_each(len(kept), places, cosines >= SAME)
        if len(first) == len(kept):
            break
        kept = kept[first]
    return kept


def _first_of_each(count: int, places: NDArray[np.int64], same: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The lowest member of each set of rows that `same` neighbours link, ascending."""
    lowest = np.arange(count)
    rows, columns = np.nonzero(same)
    ends = places[rows, columns]
    while len(rows):
        before = lowest.copy()
        np.minimum.at(lowest, rows, lowest[ends])
        np.minimum.at(lowest, ends, lowest[rows])
        lowest = lowest[lowest]
        if (before == lowest).all():
            break
    return np.flatnonzero(lowest == np.arange(count))

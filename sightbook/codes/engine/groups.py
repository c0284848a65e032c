"""Rows grouped by equal codes: with few distinct codes, search those and then open the groups.

At 16 bits there are 65,536 codes however many pictures there are, and a collapsed model uses a handful. One code then
fills any list of candidates, doubling degenerates, and scoring each code once is all the work there is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightbook.codes.engine.exact import Exact
from sightbook.codes.pack import Codes
from sightbook.codes.ranking import Keys, keys, rows_of, scores_of
from sightbook.codes.tables import Floats

SAMPLE = 8192  # rows looked at before sorting all of them
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ / golden ratio: a factor that spreads over the upper bits
CROWD = 4.0  # rows sharing a code with the average row, above which grouping is tried


class Groups:
    """Distinct codes, each with the rows that bear it, ascending."""

    def __init__(
        self, packed: Codes, order: NDArray[np.int32], starts: NDArray[np.int64], M: int, K: int
    ) -> None:
        self._codes = Exact(packed, M, K)
        self._order, self._starts = order, starts

    @classmethod
    def of(cls, packed: Codes, M: int, K: int) -> Groups | None:
        """Groups of packed codes (N, code_bytes), or None when more than half of the codes are distinct."""
        if crowding(packed) < CROWD or distinct(packed) > 0.6:
            return None
        order, first = runs(packed)
        if 2 * len(first) > len(packed):
            return None
        starts = np.append(first, len(packed)).astype(np.int64)
        return cls(packed[order[first]], order, starts, M, K)

    is_grouped = False  # by prefixes: there are so few codes that none is left out

    @property
    def nbytes(self) -> int:
        return self._codes.nbytes + self._order.nbytes + self._starts.nbytes

    def only(self, kept: NDArray[np.int64]) -> Groups:
        """The groups of some of the rows: those of `kept`, at least one. The rows keep their numbers."""
        mask = np.zeros(len(self._order), np.bool_)
        mask[kept] = True
        here = mask[self._order]
        sizes = np.add.reduceat(here, self._starts[:-1], dtype=np.int64)
        starts = np.append(0, np.cumsum(sizes[sizes > 0]))
        stored = self._codes.stored
        return Groups(stored.packed[sizes > 0], self._order[here], starts, stored.M, stored.K)

    def search(self, tables: Floats, k: int) -> Keys:
        """As `Exact.search`, over the rows."""
        found = np.empty((len(tables), k), dtype=np.int64)
        left = np.arange(len(tables))
        wanted = max(32, 2 * k * len(self._codes) // len(self._order))
        while len(left):
            wanted = min(wanted, len(self._codes))
            best = self._codes.search(tables[left], wanted)
            opened = [self._open(row, k, wanted == len(self._codes)) for row in best]
            for q, rows in zip(left, opened, strict=True):
                if rows is not None:
                    found[q] = rows
            left = left[[rows is None for rows in opened]]
            wanted *= 4
        return found

    def _open(self, best: Keys, k: int, all_of_them: bool) -> Keys | None:
        # The k best rows given the best codes; None when these may not hold them all.
        codes, scores = rows_of(best), scores_of(best)
        sizes = self._starts[codes + 1] - self._starts[codes]
        reached = int(np.searchsorted(np.cumsum(sizes), k))  # the code that brings the k-th row
        if not all_of_them and (reached >= len(codes) or scores[-1] == scores[reached]):
            return None  # fewer than k rows, or further codes may tie with the k-th row's
        used = scores >= scores[min(reached, len(codes) - 1)]
        sizes = np.minimum(sizes[used], k)  # rows of a group tie, so only its first k can count
        ends = np.cumsum(sizes)
        places = np.arange(ends[-1]) + np.repeat(self._starts[codes[used]] - (ends - sizes), sizes)
        found = keys(np.repeat(scores[used], sizes), self._order[places].astype(np.int64))
        return np.sort(found)[:k]


def crowding(packed: Codes) -> float:
    """Rows that share the code of a row drawn at random, estimated from pairs of equal codes in a sample of packed
    (N, code_bytes): N · Σ s (s − 1) / (n (n − 1)), s the sizes of its runs, n its rows."""
    order, first = runs(packed[:: max(1, len(packed) // SAMPLE)])
    n, sizes = len(order), np.diff(first, append=len(order))
    return len(packed) * float((sizes * (sizes - 1)).sum()) / max(1, n * (n - 1))


def distinct(packed: Codes) -> float:
    """Codes for each row of packed (N, code_bytes), at most 1, estimated from one part of all codes there could be, of
    some SAMPLE rows: sorting takes long."""
    hashed = np.zeros(len(packed), np.uint64)
    for column in _words(packed, np.uint64).T:
        hashed = (hashed ^ column) * _SPREAD
    parts = max(1, len(packed) // SAMPLE)
    few = hashed[hashed < np.uint64((1 << 64) // parts - 1)]
    return len(np.unique(few)) / max(1, len(few))


def runs(packed: Codes) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The rows (N,) of packed codes sorted by (code, row), and the places in that order where another code begins."""
    width = packed.shape[1]
    if width <= 2:  # NumPy sorts 16 bits by radix
        words = _words(packed, np.uint16)
        order = np.argsort(words[:, 0], kind="stable").astype(np.int32)
        words = words[order]
    elif width <= 4:  # code and row in one integer, which it sorts with vector instructions
        both = _words(packed, np.uint32)[:, 0].astype(np.uint64) << np.uint64(32)
        both |= np.arange(len(packed), dtype=np.uint64)
        both.sort()
        order = (both & np.uint64(0xFFFFFFFF)).astype(np.int32)
        words = (both >> np.uint64(32))[:, None]
    else:
        words = _words(packed, np.uint64)
        order = np.lexsort(words.T).astype(np.int32)
        words = words[order]
    first = np.flatnonzero(np.append(True, (words[1:] != words[:-1]).any(axis=1)))
    return order, first


def _words(packed: Codes, kind: type[np.unsignedinteger[Any]]) -> NDArray[Any]:
    # The same bytes as integers (N, at least one), padded with zeros.
    size = np.dtype(kind).itemsize
    width = -(-packed.shape[1] // size) * size
    if width == packed.shape[1]:
        return np.ascontiguousarray(packed).view(kind)
    padded = np.zeros((len(packed), width), np.uint8)
    padded[:, : packed.shape[1]] = packed
    return padded.view(kind)

"""Ascending ids in two bytes each: their lower 16 bits, and for every 65,536 ids where their rows begin.

An index of 64-bit codes takes 16 bytes a picture, so ids of eight would be a third of what is resident.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LOW = 16  # bits kept of each id
SPARSE = 256  # fewer ids than so many in a block, on average: whole ids take less


class Ids:
    """ids (N,) int64, strictly ascending, gaps allowed, N ≥ 1. Read only, from any thread."""

    def __init__(self, ids: NDArray[np.int64]) -> None:
        self._count, self._first, self._last = len(ids), int(ids[0]), int(ids[-1])
        blocks = (self._last - self._first >> LOW) + 1
        self._whole = ids if blocks * SPARSE > max(SPARSE, self._count) else None
        if self._whole is None:
            self._low = (ids - self._first).astype(np.uint16)
            firsts = self._first + (np.arange(blocks, dtype=np.int64) << LOW)
            self._starts = np.append(np.searchsorted(ids, firsts), self._count)  # (blocks + 1,) rows

    @property
    def nbytes(self) -> int:
        """Bytes resident."""
        return self._low.nbytes + self._starts.nbytes if self._whole is None else self._whole.nbytes

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The ids of rows, of any shape, int64."""
        if self._whole is not None:
            whole: NDArray[np.int64] = self._whole[rows]
            return whole
        blocks = np.searchsorted(self._starts, rows, side="right") - 1
        found: NDArray[np.int64] = (blocks << LOW) + self._low[rows] + self._first
        return found

    def rows(self, wanted: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of those wanted ids that are here. wanted: int64, ascending."""
        if self._whole is not None:
            places = np.searchsorted(self._whole, wanted)
            places = places[places < self._count]
            here: NDArray[np.int64] = places[self._whole[places] == wanted[: len(places)]]
            return here
        least, most = np.searchsorted(wanted, self._first), np.searchsorted(wanted, self._last, side="right")
        wanted = wanted[least:most]
        blocks = wanted - self._first >> LOW
        low = (wanted - self._first).astype(np.uint16)
        found = [np.empty(0, np.int64)]
        row_of = np.empty(1 << LOW, np.int64)  # of each id of a block
        starts = np.flatnonzero(np.diff(blocks, prepend=-1))
        for start, end in zip(starts, np.append(starts, len(wanted))[1:], strict=True):
            first, stop = self._starts[blocks[start]], self._starts[blocks[start] + 1]
            row_of.fill(-1)
            row_of[self._low[first:stop]] = np.arange(first, stop)
            rows = row_of[low[start:end]]
            found.append(rows[rows >= 0])
        return np.concatenate(found)

"""Exact search: candidates from the sieve, exact scores, and a certificate that no better row was left out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightbook.codes.pack import Codes
from sightbook.codes.ranking import Keys, keys, scores_of
from sightbook.codes.sieve import Sieve
from sightbook.codes.stored import Stored
from sightbook.codes.tables import Floats

FEW = 4096  # rows up to which NumPy scores all of them as fast as faiss finds candidates: faiss is not even imported


class Exact:
    """The k best rows of packed codes, identical to the oracle whatever the tables."""

    def __init__(self, packed: Codes, M: int, K: int) -> None:
        self._stored = Stored(packed, M, K)
        # Above 256 codebooks FastScan's 16-bit sums could overflow.
        self._sieve = Sieve(self._stored.packed, M, K) if len(packed) > FEW and M <= 256 else None

    def __len__(self) -> int:
        return len(self._stored)

    @property
    def nbytes(self) -> int:
        return self._stored.packed.nbytes + (self._sieve.nbytes if self._sieve else 0)

    def search(self, tables: Floats, k: int) -> Keys:
        """Tables (b, M, K) float32, C-contiguous, finite, without −0; 1 ≤ k ≤ N → sorted keys (b, k)."""
        unknown = np.full(len(tables), -np.inf, dtype=np.float32)
        if self._sieve is None:
            return self._stored.complete(tables, k, unknown)
        return self._sift(
            self._sieve, tables, k, self._sieve.first(k), floor=unknown, margin=self._sieve.margin(tables)
        )

    def _sift(
        self, sieve: Sieve, tables: Floats, k: int, c: int, *, floor: Floats, margin: NDArray[np.float64]
    ) -> Keys:
        if 4 * c > len(self) or c > sieve.last(k) or not np.isfinite(margin).any():
            return self._stored.complete(tables, k, floor)
        rows, worst = sieve.candidates(tables, c)
        found = keys(self._stored.scores(tables, rows), rows)
        found.sort(axis=1)
        found = found[:, :k]
        kth = scores_of(found[:, -1])
        filled = rows[:, -1] >= 0
        # The certificate: a row that is no candidate scores at most worst + margin. Strictly more is needed, since an
        # equal score with a smaller id would come first.
        certain = filled & (kth > worst + margin)
        if not certain.all():
            left = np.flatnonzero(~certain)
            floor = np.where(filled, kth, -np.inf).astype(np.float32)[left]
            found[left] = self._sift(sieve, tables[left], k, 2 * c, floor=floor, margin=margin[left])
        return found

"""Exact search: candidates from the sieve, exact scores, and a certificate that no better row was left out."""

from __future__ import annotations

import math

import numpy as np

from sightbook.codes.pack import Codes
from sightbook.codes.ranking import Keys, keys
from sightbook.codes.sieve import Sieve
from sightbook.codes.stored import Stored
from sightbook.codes.tables import Floats

FEW = 4096  # rows up to which NumPy scores all of them as fast as faiss finds candidates: faiss is not even imported


class Exact:
    """The k best rows of packed codes, identical to the oracle whatever the tables."""

    def __init__(self, packed: Codes, M: int, K: int) -> None:
        self.stored = Stored(packed, M, K)
        # Above 256 codebooks FastScan's 16-bit sums could overflow.
        self.sieve = Sieve(self.stored.packed, M, K) if len(packed) > FEW and M <= 256 else None

    def __len__(self) -> int:
        return len(self.stored)

    @property
    def nbytes(self) -> int:
        return self.stored.packed.nbytes + (self.sieve.nbytes if self.sieve else 0)

    def search(self, tables: Floats, k: int) -> Keys:
        """Tables (b, M, K) float32, C-contiguous, finite, without −0; 1 ≤ k ≤ N → sorted keys (b, k)."""
        if self.sieve is None:
            return self.stored.complete(tables, k)
        return self._sift(self.sieve, tables, k, self.sieve.first(k), self.sieve.margins(tables))

    def _sift(self, sieve: Sieve, tables: Floats, k: int, c: int, margins: list[float]) -> Keys:
        if 4 * c > len(self) or c > sieve.last(k) or min(margins) == math.inf:
            return self.stored.complete(tables, k)
        rows, worst = sieve.candidates(tables, c)
        scores = self.stored.scores(tables, rows)
        kth: list[float] = np.partition(scores, c - k, axis=1)[:, c - k].tolist()
        found = keys(scores, rows)
        found.sort(axis=1)
        found = found[:, :k]
        # The certificate: a row that is no candidate scores at most worst + margin. Strictly more is needed, since an
        # equal score with a smaller id would come first. A missing candidate is row −1.
        left = [
            q
            for q, (last, low) in enumerate(zip(rows[:, -1].tolist(), worst.tolist(), strict=True))
            if last < 0 or not kth[q] > low + margins[q]
        ]
        if left:
            found[left] = self._sift(sieve, tables[left], k, 2 * c, [margins[q] for q in left])
        return found

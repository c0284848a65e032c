"""Exact search: candidates from the sieve, exact scores, and a certificate that no better row was left out."""

from __future__ import annotations

import math

import numpy as np

from sightbook.codes.engine.prefixes import Prefixed, Watch, may_pay
from sightbook.codes.engine.sieve import Sieve, margins
from sightbook.codes.engine.stored import Stored
from sightbook.codes.pack import Codes
from sightbook.codes.ranking import Keys, keys, scores_of
from sightbook.codes.tables import Floats

FEW = 4096  # rows up to which NumPy scores all of them as fast as faiss finds candidates: faiss is not even imported


class Exact:
    """The k best rows of packed codes, identical to the oracle whatever the tables.

    sieve: what finds candidates; None where all rows are scored. watch: decides whether groups take its place; None
    where that is decided, or cannot pay.
    """

    def __init__(self, packed: Codes, M: int, K: int) -> None:
        self.stored = Stored(packed, M, K)
        # Above 256 codebooks FastScan's 16-bit sums could overflow.
        sifted = len(packed) > FEW and M <= 256
        self.sieve: Sieve | Prefixed | None = Sieve(self.stored.packed, M, K) if sifted else None
        self.watch = Watch() if self.sieve and may_pay(len(packed), M, K) else None

    def __len__(self) -> int:
        return len(self.stored)

    @property
    def nbytes(self) -> int:
        return self.stored.packed.nbytes + (self.sieve.nbytes if self.sieve else 0)

    def search(self, tables: Floats, k: int) -> Keys:
        """Tables (b, M, K) float32, C-contiguous, finite, without −0; 1 ≤ k ≤ N → sorted keys (b, k)."""
        sieve, watch = self.sieve, self.watch  # another thread may exchange them meanwhile
        if sieve is None:
            return self.stored.complete(tables, k)
        margin = margins(tables)
        if isinstance(sieve, Prefixed):
            return sieve.search(tables, k, margin)
        found = self._sift(sieve, tables, k, sieve.first(k), margin)
        if watch is not None and watch.saw(tables, scores_of(found[:, -1])):
            self._decide(watch)
        return found

    @property
    def is_grouped(self) -> bool:
        """Whether groups are searched by now, instead of a scan."""
        return isinstance(self.sieve, Prefixed)

    def _decide(self, watch: Watch) -> None:
        # Searches of other threads go on with the scan meanwhile; the answers are the same.
        self.watch = None
        layout = watch.layout(self.stored.packed, self.stored.M)
        if layout is not None:
            self.sieve = Prefixed(self.stored, layout)

    def _sift(self, sieve: Sieve, tables: Floats, k: int, c: int, margin: list[float]) -> Keys:
        if 4 * c > len(self) or c > sieve.last(k) or min(margin) == math.inf:
            return self.stored.complete(tables, k)
        rows, approximate = sieve.candidates(tables, c)
        scores = self.stored.scores(tables, rows)
        kth: list[float] = np.partition(scores, c - k, axis=1)[:, c - k].tolist()
        found = keys(scores, rows)
        found.sort(axis=1)
        found = found[:, :k]
        # The certificate: a row that is no candidate scores at most margin more than the last candidate's approximate
        # score. Strictly more is needed: an equal score with a smaller id would come first. −1: a missing candidate.
        left = [
            q
            for q, (last, low) in enumerate(
                zip(rows[:, -1].tolist(), approximate[:, -1].tolist(), strict=True)
            )
            if last < 0 or not kth[q] > low + margin[q]
        ]
        if left:
            found[left] = self._sift(sieve, tables[left], k, sieve.more(c), [margin[q] for q in left])
        return found

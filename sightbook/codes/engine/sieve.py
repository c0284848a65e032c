"""The fast, slightly wrong half of a search: faiss names candidates, and a bound says how wrong it can be.

Each codebook is the K×K identity and the query vector is the flattened table, so that faiss's inner product is
Σ_m table[m, code_m]: the index need not know what a method's score is.
"""

from __future__ import annotations

import math
from operator import neg, sub
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightbook.codes.engine.stored import ROUNDING
from sightbook.codes.pack import Codes
from sightbook.codes.products import one_thread
from sightbook.codes.tables import Floats

# Codes of one FastScan block. 32 is faiss's default; with 96 the kernel for one query keeps more sums in registers:
# 15 % faster with AVX-512, 5 % with AVX2 (1M codes of 16 × 16); 128 is slower again with AVX2.
BLOCK = 96

# Rows of which a scan costs some thirty times as much as one candidate more (10M learned codes of 64 and 128 bits).
SPARE = 40_000

# With a span above NARROW and sums below WIDE, FastScan's 8-bit scale, its inverse and its bias are ordinary float32
# numbers; outside faiss is not asked.
NARROW, WIDE = 1e-30, 1e30


class Sieve:
    """Candidates by faiss: IndexPQFastScan for K = 16 (its table is 8-bit), IndexPQ for K = 256 (float32).

    index: faiss's own; asked with a flattened table it gives rows and their approximate scores.
    """

    def __init__(self, packed: Codes, M: int, K: int) -> None:
        import faiss

        self.M, self.K, self._count = M, K, len(packed)
        index = faiss.IndexPQ(M * K, M, 4 if K == 16 else 8, faiss.METRIC_INNER_PRODUCT)
        identity = np.tile(np.eye(K, dtype=np.float32).reshape(-1), M)
        faiss.copy_array_to_vector(identity, index.pq.centroids)
        index.is_trained = True
        index.add_sa_codes(packed)
        in_blocks: Any = faiss.IndexPQFastScan
        self.index: Any = in_blocks(index, BLOCK) if K == 16 else index

    @property
    def nbytes(self) -> int:
        """Bytes of the index: its own copy of the codes, in blocks, and the identity codebooks."""
        return int(self.index.codes.size()) + 4 * self.M * self.K * self.K

    def first(self, k: int) -> int:
        """Candidates to ask for at first: enough for 100 of 100 queries of random codes (k 1 to 1000, N 60k, 1M), and
        for most of learned ones, which crowd: so many more as cost a thirtieth of a scan."""
        return (k + k // 2 if self.K == 16 else k) + 12 + self._count // SPARE

    def more(self, c: int) -> int:
        """Candidates to ask for when c were too few: of many rows as many as cost a sixth of a scan."""
        return max(2 * c, self._count // (SPARE // 8))

    def last(self, k: int) -> int:
        """Candidates after which asking for more stops, because scoring every row costs less from there on.

        IndexPQ errs so little that a failed certificate means ties, and its second pass would cost as much as all rows.
        """
        return max(8192, 4 * k, self._count // (SPARE // 80)) if self.K == 16 else self.first(k)

    def candidates(self, tables: Floats, c: int) -> tuple[NDArray[np.int64], Floats]:
        """Rows (b, c) int64 and their approximate scores (b, c) float32, the best first, for finite tables (b, M, K).

        No row left out has a larger approximate score than the last. A row is −1 where faiss found fewer than c.
        """
        # The number of OpenMP threads belongs to the calling thread. One: a team costs one query more than it brings,
        # and several queries are spread by the engine's own threads, which re-score as well.
        with one_thread():
            approximate, rows = self.index.search(tables.reshape(len(tables), -1), c)
        return rows, approximate


class Sieves(Sieve):
    """The rows of several sieves, numbered through, for one question: made in microseconds, nothing is copied.

    faiss asks them all without coming back to Python, whose lock other threads wait for.
    """

    def __init__(self, sieves: list[Sieve]) -> None:
        import faiss

        self.M, self.K, self._count = sieves[0].M, sieves[0].K, sum(sieve._count for sieve in sieves)
        shards: Any = faiss.IndexShards
        # No threads of its own; rows numbered in the order of the sieves.
        self.index = shards(self.M * self.K, False, True)
        for sieve in sieves:
            self.index.add_shard(sieve.index)


def margins(tables: Floats) -> list[float]:
    """By how much, at most, an exact score exceeds its approximate one, for each query; inf: do not use faiss.

    FastScan rounds entries to multiples of q = (largest span of a codebook) / 255, hence at most M·q/2 in all.
    The rest is rounding of float32: M operations each in the exact sum and in faiss's, on numbers up to
    Σ_m max_k |table|.
    """
    # Plain floats: on 16 numbers they are faster than a dozen calls of NumPy, and they are 64 bits wide.
    M, K = tables.shape[1:]
    highs, lows = tables.max(axis=2).tolist(), tables.min(axis=2).tolist()
    found = []
    for high, low in zip(highs, lows, strict=True):
        reach = sum(map(max, high, map(neg, low)))
        margin = math.inf if reach >= WIDE else (2 * M + 16) * ROUNDING * reach
        if K == 16:
            span = max(map(sub, high, low))
            margin += span * (M * 0.5002 / 255) if span > NARROW else math.inf
        found.append(margin)
    return found

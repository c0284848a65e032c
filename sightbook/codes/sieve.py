"""The fast, slightly wrong half of a search: faiss names candidates, and a bound says how wrong it can be.

Each codebook is the K×K identity and the query vector is the flattened table, so that faiss's inner product is
Σ_m table[m, code_m]: the index need not know what a method's score is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightbook.codes.pack import Codes
from sightbook.codes.stored import ROUNDING
from sightbook.codes.tables import Floats

# Codes of one FastScan block. 32 is faiss's default; with 96 the kernel for one query keeps more sums in registers:
# 15 % faster with AVX-512, 5 % with AVX2 (1M codes of 16 × 16); 128 is slower again with AVX2.
BLOCK = 96

# Spans of a table between which its 8-bit scale and the scale's inverse are ordinary float32 numbers.
NARROW, WIDE = 1e-30, 1e30


class Sieve:
    """Candidates by faiss: IndexPQFastScan for K = 16 (its table is 8-bit), IndexPQ for K = 256 (float32)."""

    def __init__(self, packed: Codes, M: int, K: int) -> None:
        import faiss

        self.M, self.K = M, K
        index = faiss.IndexPQ(M * K, M, 4 if K == 16 else 8, faiss.METRIC_INNER_PRODUCT)
        identity = np.tile(np.eye(K, dtype=np.float32).reshape(-1), M)
        faiss.copy_array_to_vector(identity, index.pq.centroids)
        index.is_trained = True
        with _one_thread():
            index.add_sa_codes(packed)
            in_blocks: Any = faiss.IndexPQFastScan
            self._index: Any = in_blocks(index, BLOCK) if K == 16 else index

    @property
    def nbytes(self) -> int:
        """Bytes of the index: its own copy of the codes, in blocks, and the identity codebooks."""
        return int(self._index.codes.size()) + 4 * self.M * self.K * self.K

    def first(self, k: int) -> int:
        """Candidates to ask for at first: enough for 100 of 100 queries (random codes, k 1 to 1000, N 60k and 1M)."""
        return k + k // 2 + 12 if self.K == 16 else k + 12

    def last(self, k: int) -> int:
        """Candidates after which doubling stops, because scoring every row costs less from there on.

        IndexPQ errs so little that a failed certificate means ties, and its second pass would cost as much as all rows.
        """
        return max(8192, 4 * k) if self.K == 16 else self.first(k)

    def candidates(self, tables: Floats, c: int) -> tuple[NDArray[np.int64], Floats]:
        """Rows (b, c) int64 and the worst candidate's approximate score (b,) float32, for finite tables (b, M, K).

        No row left out has a larger approximate score. A row is −1 where faiss found fewer than c.
        """
        with _one_thread():
            approximate, rows = self._index.search(tables.reshape(len(tables), -1), c)
        return rows, approximate[:, -1]

    def margin(self, tables: Floats) -> NDArray[np.float64]:
        """By how much, at most, an exact score exceeds its approximate one: (b,) float64; inf: do not use faiss.

        FastScan rounds entries to multiples of q = (largest span of a codebook) / 255, hence at most M·q/2 in all.
        The rest is rounding of float32: M operations each in the exact sum and in faiss's, on numbers up to
        Σ_m max_k |table|.
        """
        high = tables.max(axis=2).astype(np.float64)
        low = tables.min(axis=2).astype(np.float64)
        rounding: NDArray[np.float64] = (2 * self.M + 16) * ROUNDING * np.maximum(high, -low).sum(axis=1)
        if self.K == 256:
            return rounding
        span = (high - low).max(axis=1)
        margin: NDArray[np.float64] = rounding + span * (self.M * 0.5002 / 255)
        margin[~((span > NARROW) & (span < WIDE))] = np.inf
        return margin


@contextmanager
def _one_thread() -> Iterator[None]:
    # The number of OpenMP threads belongs to the calling thread. One: a team for one query costs more than it brings,
    # and several queries are spread by the engine's own threads, which re-score as well.
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)

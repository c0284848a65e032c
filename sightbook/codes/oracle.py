"""The truth that the engine must equal: every score, summed and sorted in plain NumPy.

Two rules make the answer unique. A score is summed in float32 over m = 0 … M−1, in that order. Results are ordered by
(score descending, id ascending), also where the k-th place cuts through equal scores.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightbook.codes.pack import Codes
from sightbook.codes.tables import Floats


def search(
    tables: Floats, codes: Codes, k: int, ids: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], Floats]:
    """The k best of codes (N, M) uint8 for each of tables (Q, M, K) float32.

    Returns ids (Q, min(k, N)) int64 and scores (Q, min(k, N)) float32; ids (N,) default to the rows' numbers.
    """
    ids = np.arange(len(codes), dtype=np.int64) if ids is None else ids
    k = min(k, len(codes))
    found = np.empty((len(tables), k), dtype=np.int64)
    scores = np.empty((len(tables), k), dtype=np.float32)
    for q, table in enumerate(tables):
        total = score(table, codes)
        near = np.arange(len(codes))
        # Only those that reach the k-th score are sorted: ten times faster at 1M, the same answer.
        if k < len(codes):
            near = np.flatnonzero(total >= np.partition(total, len(codes) - k)[len(codes) - k])
        best = near[np.lexsort((ids[near], -total[near]))[:k]]
        found[q], scores[q] = ids[best], total[best]
    return found, scores


def fine_search(
    tables: Floats,
    codes: Codes,
    queries: NDArray[np.int8],
    fine: NDArray[np.int8],
    *,
    gain: np.float32,
    k: int,
    ids: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], Floats]:
    """`search` by code and fine code: the first max(400, 2k) by code score, in the order of their totals.

    queries (Q, d) int8 and fine (N, d) int8; a total is score + gain · (sum of products), float32.
    """
    ids = np.arange(len(codes), dtype=np.int64) if ids is None else ids
    kept = min(k, len(codes))
    found = np.empty((len(tables), kept), dtype=np.int64)
    totals = np.empty((len(tables), kept), dtype=np.float32)
    for q, table in enumerate(tables):
        by_code = score(table, codes)
        first = np.lexsort((ids, -by_code))[: max(400, 2 * k)]
        products = (fine[first].astype(np.int64) * queries[q].astype(np.int64)).sum(axis=1)
        total = by_code[first] + gain * products.astype(np.float32)
        best = np.lexsort((ids[first], -total))[:kept]
        found[q], totals[q] = ids[first[best]], total[best]
    return found, totals


def score(table: Floats, codes: Codes) -> Floats:
    """Table (M, K) float32 and codes (N, M) uint8 → scores (N,) float32, Σ_m table[m, code_m] in the order of m."""
    total = np.zeros(len(codes), dtype=np.float32)
    for m in range(codes.shape[1]):
        total += table[m, codes[:, m]]
    return total

"""Exact rankings of a whole database, a chunk of queries at a time: order (score descending, id ascending).

The database stands in id order, so a row number is an id. Scores are float32; a code's score is summed m = 0 … M-1,
as everywhere in this program. The first ranks of codes come from the search engine, six times faster than scoring
everything; full rankings, rankings with a junk rule and those of float embeddings are scored here in plain arrays.
Both ways obey one rule and give the same ids.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sightbook.codes.engine import Engine
from sightbook.codes.engine.stored import Stored
from sightbook.codes.fine import candidates, sums, totals
from sightbook.codes.pack import pack
from sightbook.codes.ranking import keys, rows_of
from sightbook.codes.tables import Metric

Scores = NDArray[np.float32]
# Scores of the queries start … stop-1 with every database picture, (stop - start, N) float32.
Scorer = Callable[[int, int], Scores]
# (start, stop, depth, junk) → the first ids of those queries' rankings, (stop - start, depth) int64, as `rank` gives.
Ranker = Callable[[int, int, int, NDArray[np.bool_] | None], NDArray[np.int64]]

_COLUMNS = (
    4096  # of a block whose indices and scores stay in the second-level cache: 12 % faster at N = 50,000
)
_SHALLOW = 8  # the engine pays while the ranks asked for are at most this part of the database


def code_ranker(tables: NDArray[np.float32], codes: NDArray[np.uint8]) -> Ranker:
    """Ranks codes (N, M) uint8 by the queries' look-up tables (Q, M, K) float32, K = 16 or 256."""
    M, K = tables.shape[1:]
    N = len(codes)
    engine = Engine(pack(codes, K), M, K)
    score = code_scorer(tables, codes)

    def ranks(start: int, stop: int, depth: int, junk: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        if junk is None and 0 < depth * _SHALLOW <= N:
            return engine.search(tables[start:stop], depth)[0]
        return rank(score(start, stop), depth, junk)

    return ranks


def fine_ranker(
    by_code: Ranker,
    tables: NDArray[np.float32],
    codes: NDArray[np.uint8],
    asked: NDArray[np.int8],
    fine: NDArray[np.int8],
    *,
    gain: np.float32,
    R: int,
) -> Ranker:
    """As a library with fine codes (`codes.fine`) answers when R pictures are asked for: the first max(400, 2R) of
    `by_code`, the ranker of tables (Q, M, K) and codes (N, M), in the order of their totals, the rest behind them as
    they were.

    asked (Q, d) and fine (N, d) int8.
    """
    N, (M, K) = len(codes), tables.shape[1:]
    stored = Stored(pack(codes, K), M, K)
    first = min(N, candidates(R))

    def ranks(start: int, stop: int, depth: int, junk: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        ids = by_code(start, stop, max(depth, first), junk).copy()
        for row, found in enumerate(ids):
            best = found[:first]
            best = best[best >= 0][None]  # a ranking that junk made shorter ends in -1
            if best.size:
                q = slice(start + row, start + row + 1)
                scores = stored.scores(np.add(tables[q], np.float32(0), order="C"), best)
                order = keys(totals(scores, sums(asked[q], fine, best), gain), best)
                order.sort(axis=1)
                found[: best.size] = rows_of(order)[0]
        return ids[:, :depth]

    return ranks


def float_ranker(
    queries: NDArray[np.float32], database: NDArray[np.float32], metric: Metric = "inner"
) -> Ranker:
    """Ranks embeddings (Q, D) and (N, D) float32 by what codes approximate: inner product, distance or cosine."""
    if metric == "near-cosine":
        database = database / np.maximum(np.linalg.norm(database, axis=1, keepdims=True), np.float32(1e-12))
    # ‖q - x‖² = ‖q‖² - 2⟨q, x⟩ + ‖x‖², of which ‖q‖² is the same for all pictures.
    halves = (database**2).sum(axis=1) / 2 if metric == "distance" else np.float32(0)

    def ranks(start: int, stop: int, depth: int, junk: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        return rank(queries[start:stop] @ database.T - halves, depth, junk)

    return ranks


def code_scorer(tables: NDArray[np.float32], codes: NDArray[np.uint8]) -> Scorer:
    """Σ_m tables[q, m, codes[n, m]] from tables (Q, M, K) float32 and codes (N, M) uint8."""
    M, N = tables.shape[1], len(codes)
    columns = np.ascontiguousarray(codes.T).astype(np.intp)  # the index type that np.take does not convert

    def score(start: int, stop: int) -> Scores:
        parts = [np.ascontiguousarray(tables[start:stop, m]) for m in range(M)]
        scores = np.empty((stop - start, N), np.float32)
        for left in range(0, N, _COLUMNS):
            right = min(N, left + _COLUMNS)
            total = np.empty((stop - start, right - left), np.float32)
            term = np.empty_like(total)
            np.take(parts[0], columns[0, left:right], axis=1, out=total, mode="clip")
            for m in range(1, M):
                # mode="clip" lets np.take write into `out` directly; codes are below K by construction.
                np.take(parts[m], columns[m, left:right], axis=1, out=term, mode="clip")
                total += term
            scores[:, left:right] = total
        return scores

    return score


def rank(scores: Scores, depth: int, junk: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """The first `depth` ids of each row, (Q, depth) int64, by (score descending, id ascending).

    scores (Q, N) finite float32; junk (Q, N) bool marks what is taken out of a row's ranking: where fewer than
    `depth` pictures remain the row ends in -1. `depth` above N gives N columns.
    """
    Q, N = scores.shape
    depth = min(depth, N)
    ids = np.full((Q, depth), -1, np.int64)
    if depth == 0:
        return ids
    for row in range(Q):
        kept = scores[row] if junk is None else np.where(junk[row], np.float32(-np.inf), scores[row])
        if depth < N:
            # Every candidate that can stand among the first `depth`, all ties of the last place included.
            worst = np.partition(kept, N - depth)[N - depth]
            candidates = np.flatnonzero(kept >= worst)
        else:
            candidates = np.arange(N, dtype=np.int64)
        if junk is not None:
            candidates = candidates[~junk[row, candidates]]
        # Scores compare by their bits here: + 0.0 makes -0.0 the 0.0 that it equals.
        found = keys(kept[candidates] + np.float32(0), candidates)
        found.sort()
        ids[row, : min(depth, len(found))] = rows_of(found[:depth])
    return ids

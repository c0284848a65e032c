"""One ranking of one protocol, judged: scores → ranks → hits → average precision and precision at N, in chunks.

Chunks keep memory flat however many queries there are: 10,000 × 50,000 scores would be 2 GB, a chunk is 16 MB. Threads
work on chunks side by side (NumPy lets go of the interpreter in every long step).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightbook.evaluate.metrics import average_precision, definition, expected_average_precision, precision_at
from sightbook.evaluate.ranking import Ranker
from sightbook.evaluate.relevance import Truth
from sightbook.progress import Meter

CUTOFFS = (1, 10, 100)  # precision at these ranks is reported

_SCORES = 1 << 22  # in a chunk: 16 MiB of float32
_RANKS = 1 << 20  # in a chunk: average precision over a full ranking holds some 40 bytes a rank


@dataclass(frozen=True)
class QueryFigures:
    """Figures of every query: ap (Q,) float64, precision {n: (Q,) float64}."""

    ap: NDArray[np.float64]
    precision: dict[int, NDArray[np.float64]]

    @property
    def map(self) -> float:
        """Mean average precision."""
        return float(self.ap.mean())

    @property
    def mean_precision(self) -> dict[str, float]:
        """Mean precision at N, the ranks as text: JSON knows no other keys."""
        return {str(n): float(values.mean()) for n, values in self.precision.items()}


def judge(
    ranker: Ranker, truth: Truth, *, name: str, R: int, jobs: int, meter: Meter | None = None
) -> QueryFigures:
    """Ranks the whole database for every query and judges by the definition `name`; R as in `average_precision`."""
    relevant, _ = truth.counts
    Q, N = len(truth.query), len(truth.database)
    cutoffs = [n for n in CUTOFFS if n <= N]
    depth = N if definition(name).whole else min(N, max(R, *cutoffs))
    step = max(1, min(_SCORES // N, _RANKS // depth, -(-Q // jobs)))

    def chunk(start: int) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
        stop = min(Q, start + step)
        ids = ranker(start, stop, depth, truth.junk(start, stop))
        hits = truth.hits(start, ids)
        return average_precision(hits, relevant[start:stop], name, R), [
            precision_at(hits, n) for n in cutoffs
        ]

    results = []
    with ThreadPoolExecutor(jobs) as pool:
        for result in pool.map(chunk, range(0, Q, step)):
            results.append(result)
            if meter is not None:
                meter.advance(len(result[0]))
    precision = {n: np.concatenate([result[1][i] for result in results]) for i, n in enumerate(cutoffs)}
    return QueryFigures(np.concatenate([result[0] for result in results]), precision)


def judge_chance(truth: Truth, name: str, R: int) -> QueryFigures:
    """What a random order of the database would score on average, query by query, by formula."""
    relevant, ranked = truth.counts
    N = len(truth.database)
    pairs, which = np.unique(np.stack([relevant, ranked], axis=1), axis=0, return_inverse=True)
    ap = np.array([expected_average_precision(r, n, name, R) for r, n in pairs.tolist()])
    share = relevant / np.maximum(ranked, 1)
    precision = {n: share * np.minimum(ranked, n) / n for n in CUTOFFS if n <= N}
    return QueryFigures(ap[which.ravel()], precision)

"""What stands behind a mean: precision by rank and by recall, the use of the codewords, and answers to look at.

Full rankings are costly, so the curves are means over the first queries in content order, which is a random sample:
the order is that of hashes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightbook.evaluate.ranking import Ranker
from sightbook.evaluate.reading import Reading
from sightbook.evaluate.relevance import Truth
from sightbook.evaluate.split import LabelledPicture

QUERIES = 1000  # at most so many make up a curve
LEVELS = tuple(step / 20 for step in range(1, 21))  # of recall
ROWS, ANSWERS = 8, 9  # of the sheet
_RANKS = tuple(lead * 10**power for power in range(7) for lead in (1, 2, 5))
CHUNK = 16  # queries ranked at once


@dataclass(frozen=True)
class Curve:
    """Mean precision among the first N answers, by N, and where a share of the relevant pictures is found, by share.

    The second is a mean over the queries that have relevant pictures.
    """

    at: Mapping[int, float]
    by_recall: Mapping[float, float]


@dataclass(frozen=True)
class Answer:
    """A picture of the database in a ranking, with its score (`codes.scale`) and whether it is relevant."""

    picture: LabelledPicture
    score: float
    right: bool


@dataclass(frozen=True)
class Sample:
    """A query with its average precision and its first answers."""

    query: LabelledPicture
    ap: float
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Details:
    """curves by the title of a ranking, as in `Report.per_query`; queries: how many they are a mean of; usage (M, K)
    int64 counts each codeword in the codes of the database; samples go from the best answered query to the worst."""

    curves: Mapping[str, Curve]
    queries: int
    usage: NDArray[np.int64]
    samples: tuple[Sample, ...]


def curve(ranker: Ranker, truth: Truth, jobs: int) -> Curve:
    """The curves of one ranking."""
    Q, N = min(QUERIES, len(truth.query)), len(truth.database)
    relevant = truth.counts[0]
    ranks = [n for n in _RANKS if n <= N]
    levels = np.array(LEVELS)

    def chunk(start: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        stop = min(Q, start + CHUNK)
        hits = truth.hits(start, ranker(start, stop, N, truth.junk(start, stop)))
        found = hits.cumsum(axis=1)
        at = np.stack([found[:, n - 1] / n for n in ranks], axis=1)
        by_recall = []
        for row, r in zip(found, relevant[start:stop].tolist(), strict=True):
            if r:
                first = np.searchsorted(
                    row, np.ceil(levels * r - 1e-9)
                )  # the rank, from 0, that reaches the share
                by_recall.append(row[first] / (first + 1))
        return at, np.array(by_recall).reshape(-1, len(levels))

    with ThreadPoolExecutor(jobs) as pool:
        parts = list(pool.map(chunk, range(0, Q, CHUNK)))
    at = np.concatenate([part[0] for part in parts]).mean(axis=0)
    by_recall = np.concatenate([part[1] for part in parts])
    mean = by_recall.mean(axis=0) if len(by_recall) else np.zeros(len(levels))
    return Curve(dict(zip(ranks, at.tolist(), strict=True)), dict(zip(LEVELS, mean.tolist(), strict=True)))


def usage(codes: NDArray[np.uint8], K: int) -> NDArray[np.int64]:
    """codes (N, M) → how often each codeword stands in them, (M, K)."""
    return np.stack([np.bincount(column, minlength=K) for column in codes.T])


def samples(
    ranker: Ranker,
    truth: Truth,
    ap: NDArray[np.float64],
    reading: Reading,
    scores: Callable[[int, NDArray[np.int64]], Sequence[float]],
) -> tuple[Sample, ...]:
    """Queries at even places from the best average precision to the worst, with their first answers.

    scores(query, ids) are those of pictures of the database.
    """
    order = np.argsort(-ap, kind="stable")
    places = np.linspace(0, len(order) - 1, min(ROWS, len(order))).round().astype(int)
    found = []
    for q in order[places].tolist():
        ids = ranker(q, q + 1, min(ANSWERS, len(reading.database)), truth.junk(q, q + 1))
        there = ids[0] >= 0
        kept, right = ids[0][there], truth.hits(q, ids)[0][there].tolist()
        answers = tuple(
            Answer(reading.database[i], score, good)
            for i, score, good in zip(kept.tolist(), scores(q, kept), right, strict=True)
        )
        found.append(Sample(reading.queries[q], float(ap[q]), answers))
    return tuple(found)

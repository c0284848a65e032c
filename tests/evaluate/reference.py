"""The slow truth of evaluation: one query, one rank, one float at a time, straight from the definitions."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations

import numpy as np


def order(scores: Sequence[np.float32], junk: Sequence[bool]) -> list[int]:
    """Ids by (score descending, id ascending), junk taken out."""
    return sorted((i for i in range(len(scores)) if not junk[i]), key=lambda i: (-scores[i], i))


def code_score(table: np.ndarray, code: np.ndarray) -> np.float32:
    """Σ_m table[m, code_m] in float32, m = 0 … M-1."""
    total = np.float32(0)
    for m, k in enumerate(code):
        total = np.float32(total + table[m, k])
    return total


def hits_in_top_R(hits: Sequence[bool], r: int, R: int) -> Fraction:
    found, total = 0, Fraction(0)
    for rank, hit in enumerate(hits[:R], start=1):
        if hit:
            found += 1
            total += Fraction(found, rank)
    return total / found if found else Fraction(0)


def relevant_with_cutoff(hits: Sequence[bool], r: int, R: int) -> Fraction:
    found, total = 0, Fraction(0)
    for rank, hit in enumerate(hits[:R], start=1):
        if hit:
            found += 1
            total += Fraction(found, rank)
    return total / r if r else Fraction(0)


def trapezoid(hits: Sequence[bool], r: int, R: int) -> Fraction:
    """The loop of the Oxford evaluation: old precision and recall, a trapezoid for each step."""
    old_recall, old_precision, found, total = Fraction(0), Fraction(1), 0, Fraction(0)
    for rank, hit in enumerate(hits, start=1):
        found += hit
        recall, precision = Fraction(found, r) if r else Fraction(0), Fraction(found, rank)
        total += (recall - old_recall) * (old_precision + precision) / 2
        old_recall, old_precision = recall, precision
    return total


def full_ranking(hits: Sequence[bool], r: int, R: int) -> Fraction:
    return hits_in_top_R(hits, r, len(hits))


AVERAGE_PRECISION = {
    "hits-in-top-R": hits_in_top_R,
    "relevant-with-cutoff": relevant_with_cutoff,
    "trapezoid": trapezoid,
    "full-ranking": full_ranking,
}


def expected(name: str, r: int, n: int, R: int) -> Fraction:
    """Average precision averaged over every arrangement of r relevant pictures on n ranks."""
    total, count = Fraction(0), 0
    for places in combinations(range(n), r):
        total += AVERAGE_PRECISION[name]([i in places for i in range(n)], r, R)
        count += 1
    return total / count

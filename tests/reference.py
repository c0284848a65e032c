"""The slow loops: every formula of learning once more, over plain Python floats, one number at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence

Vector = Sequence[float]


def dot(a: Vector, b: Vector) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def cosine(a: Vector, b: Vector) -> float:
    return dot(a, b) / math.sqrt(dot(a, a) * dot(b, b))


def clipped_contrastive(rows: Sequence[Vector], tau: float, clip: int) -> float:
    """docs/methods.md, TransClippedCLR: rows 0 … B-1 first views, B … 2B-1 second views of the same pictures."""
    anchors = len(rows)
    total = 0.0
    for a in range(anchors):
        partner = (a + anchors // 2) % anchors
        negatives = sorted(
            (cosine(rows[a], rows[n]) for n in range(anchors) if n not in (a, partner)), reverse=True
        )[clip:]
        positive = math.exp(cosine(rows[a], rows[partner]) / tau)
        total += -math.log(positive / (positive + math.fsum(math.exp(s / tau) for s in negatives)))
    return total / anchors


def soft_quantize(
    x: Vector, codebooks: Sequence[Sequence[Vector]], alpha: float
) -> tuple[list[float], list[list[float]], list[int]]:
    """One embedding x (D,) → z (D,), p (M, K) and the nearest codeword of each codebook (M,)."""
    d = len(codebooks[0][0])
    z: list[float] = []
    p: list[list[float]] = []
    nearest: list[int] = []
    for m, book in enumerate(codebooks):
        part = x[m * d : (m + 1) * d]
        units = [[value / math.sqrt(dot(word, word)) for value in word] for word in book]
        scores = [dot(part, word) for word in units]
        weights = [math.exp(alpha * score) for score in scores]
        shares = [weight / math.fsum(weights) for weight in weights]
        z += [math.fsum(share * word[i] for share, word in zip(shares, units, strict=True)) for i in range(d)]
        p.append(shares)
        nearest.append(scores.index(max(scores)))
    return z, p, nearest


def perplexity(counts: Sequence[float]) -> float:
    """exp of the entropy of `counts` taken as shares."""
    total = math.fsum(counts)
    return math.exp(-math.fsum(c / total * math.log(c / total) for c in counts if c > 0))

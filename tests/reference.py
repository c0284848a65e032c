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


def debiased_contrast(
    rows: Sequence[Vector], tau: float, clip: int, rho: float, extra: Sequence[Vector] = ()
) -> float:
    """docs/methods.md, MeCoQ: Ng corrected for the share ρ of negatives that show the same thing."""
    anchors = len(rows)
    total = 0.0
    for a in range(anchors):
        partner = (a + anchors // 2) % anchors
        others = [rows[n] for n in range(anchors) if n not in (a, partner)] + list(extra)
        kept = sorted((cosine(rows[a], other) for other in others), reverse=True)[clip:]
        positive = math.exp(cosine(rows[a], rows[partner]) / tau)
        N = len(kept)
        Ng = (math.fsum(math.exp(s / tau) for s in kept) - rho * N * positive) / (1 - rho)
        Ng = max(Ng, N * math.exp(-1 / tau))
        total += -math.log(positive / (positive + Ng))
    return total / anchors


def cross_contrast(x: Sequence[Vector], z: Sequence[Vector], tau: float, clip: int = 0) -> float:
    """docs/methods.md, SPQ: {x of view a, z of view b} and {x of view b, z of view a}."""
    B = len(x) // 2
    return clipped_contrastive([*x[:B], *z[B:]], tau, clip) + clipped_contrastive([*x[B:], *z[:B]], tau, clip)


def soft_code_entropy(p: Sequence[Sequence[Vector]]) -> float:
    """Mean over rows and codebooks of the entropy in nats."""
    entropies = [-math.fsum(q * math.log(q) for q in part if q > 0) for row in p for part in row]
    return math.fsum(entropies) / len(entropies)


def codeword_similarity(C: Sequence[Sequence[Vector]]) -> float:
    """Mean over m, k, j of ⟨c_mk, c_mj⟩."""
    products = [dot(one, other) for book in C for one in book for other in book]
    return math.fsum(products) / len(products)


def part_neighbours(z: Sequence[Vector], M: int, tau: float, count: int) -> float:
    """docs/methods.md, SSCQ: -log of the share that the `count` nearest sub-vectors have of all other pictures'."""
    rows, d = len(z), len(z[0]) // M
    total = 0.0
    for m in range(M):
        parts = [row[m * d : (m + 1) * d] for row in z]
        for a in range(rows):
            same = (a, (a + rows // 2) % rows)
            weights = [math.exp(cosine(parts[a], parts[n]) / tau) for n in range(rows) if n not in same]
            total += math.log(math.fsum(weights)) - math.log(math.fsum(sorted(weights)[-count:]))
    return total / (M * rows)


def codeword_usage(x: Sequence[Vector], C: Sequence[Sequence[Vector]]) -> float:
    """docs/methods.md, SSCQ: minus the entropy of the batch's mean soft assignment, mean over codebooks."""
    d = len(C[0][0])
    total = 0.0
    for m, book in enumerate(C):
        mean = [0.0] * len(book)
        for row in x:
            weights = [math.exp(cosine(row[m * d : (m + 1) * d], word)) for word in book]
            for k, weight in enumerate(weights):
                mean[k] += weight / math.fsum(weights) / len(x)
        total += math.fsum(q * math.log(q) for q in mean)
    return total / len(C)


def view_consistency(r: Sequence[Vector], tau: float) -> float:
    """docs/methods.md, SSCQ: ½(KL(p‖q) + KL(q‖p)) of the two views' distributions over the other pictures' rows."""
    rows = len(r)
    B = rows // 2
    total = 0.0
    for a in range(B):
        shares = []
        for anchor in (a, a + B):
            weights = [math.exp(cosine(r[anchor], r[n]) / tau) for n in range(rows) if n not in (a, a + B)]
            shares.append([weight / math.fsum(weights) for weight in weights])
        p, q = shares
        total += 0.5 * math.fsum(u * math.log(u / v) + v * math.log(v / u) for u, v in zip(p, q, strict=True))
    return total / B


def relation(
    rows: Sequence[Vector],
    others: Sequence[Vector],
    teacher: Sequence[Vector],
    tau: float,
    teacher_tau: float,
    *,
    partner: bool,
) -> float:
    """docs/methods.md, RCQ: the cross entropy of what each row's teacher and the row itself say of the other pictures.

    `others` are the rows once more, as what is looked at.
    """
    count = len(rows)
    B = count // 2
    total = 0.0
    for a in range(count):
        source = (a + B) % count if partner else a
        seen = [n for n in range(count) if n not in (a, (a + B) % count)]
        told = [math.exp(cosine(teacher[source], teacher[n]) / teacher_tau) for n in seen]
        said = [math.exp(cosine(rows[a], others[n]) / tau) for n in seen]
        total -= math.fsum(
            t / math.fsum(told) * math.log(s / math.fsum(said)) for t, s in zip(told, said, strict=True)
        )
    return total / count


def soft_quantize_by_distance(
    x: Vector, codebooks: Sequence[Sequence[Vector]], alpha: float
) -> tuple[list[float], list[list[float]], list[int]]:
    """As `soft_quantize`, by minus the squared distance to free codewords."""
    d = len(codebooks[0][0])
    z: list[float] = []
    p: list[list[float]] = []
    nearest: list[int] = []
    for m, book in enumerate(codebooks):
        part = x[m * d : (m + 1) * d]
        squares = [math.fsum((a - b) ** 2 for a, b in zip(part, word, strict=True)) for word in book]
        weights = [math.exp(-alpha * square) for square in squares]
        shares = [weight / math.fsum(weights) for weight in weights]
        z += [math.fsum(share * word[i] for share, word in zip(shares, book, strict=True)) for i in range(d)]
        p.append(shares)
        nearest.append(squares.index(min(squares)))
    return z, p, nearest

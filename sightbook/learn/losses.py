"""Pure losses and terms. Rows 0 … B-1 belong to the first views, rows B … 2B-1 to the second views of B pictures.

Contrasts compare whole rows by cosine; terms look at soft assignments, sub-vectors or codewords. A method
(`sightbook.learn.methods`) is a sum of some of these.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def contrast(
    rows: Tensor, tau: float, *, clip: int = 0, rho: float = 0.0, extra: Tensor | None = None
) -> Tensor:
    """Contrast of two views of B pictures: NT-Xent, clipped, debiased, with further negatives, in any combination.

    rows (2B, D): row a and row a ± B are each other's positive, the 2B - 2 others are negatives, `extra` (E, D) holds
    further ones for every anchor. With s the cosine:

    L = 1/(2B) Σ_a log(1 + Ng(a) / e^{s_a⁺/τ}),  Ng(a) = Σ_{n kept} e^{s_an/τ}

    clip: the negatives left out for each anchor, its most similar ones (TransClippedCLR, arXiv 2401.15362); which of
    equals, is open. rho: the chance that a negative shows the same thing (debiased contrastive loss, arXiv 2007.00224,
    as MeCoQ uses it): with N negatives kept, Ng is replaced by

    max((Σ e^{s_an/τ} - ρ N e^{s_a⁺/τ}) / (1 - ρ), N e^{-1/τ}).

    Raises ValueError when `clip` leaves no negative or `rho` is not in [0, 1).
    """
    anchors = len(rows)
    further = 0 if extra is None else len(extra)
    kept = anchors - 2 + further - clip
    if clip < 0 or kept < 1:
        raise ValueError(f"clip {clip} leaves none of the {anchors - 2 + further} negatives")
    if not 0 <= rho < 1:
        raise ValueError(f"rho {rho} is not in [0, 1)")
    unit = F.normalize(rows, dim=1)
    others = unit if extra is None else torch.cat([unit, F.normalize(extra, dim=1)])
    logits = unit @ others.T / tau
    row = torch.arange(anchors, device=rows.device)
    partner = (row + anchors // 2) % anchors
    positive = logits[row, partner]
    logits = logits.index_put((row, row), logits.new_tensor(-torch.inf))
    if clip:
        negatives = logits.detach().index_put((row, partner), logits.new_tensor(-torch.inf))
        most_similar = negatives.topk(clip, dim=1).indices
        logits = logits.scatter(1, most_similar, -torch.inf)
    if not rho:
        return (torch.logsumexp(logits, dim=1) - positive).mean()
    # Everything divided by e^{1/τ}, so that nothing overflows at a small τ.
    top = 1.0 / tau
    negatives = (logits.index_put((row, partner), logits.new_tensor(-torch.inf)) - top).exp().sum(1)
    alike = (positive - top).exp()
    floor = kept * math.exp(-2.0 * top)
    corrected = ((negatives - rho * kept * alike) / (1.0 - rho)).clamp(min=floor)
    return (torch.log(alike + corrected) - (positive - top)).mean()


def cross_contrast(
    x: Tensor, z: Tensor, tau: float, *, clip: int = 0, rho: float = 0.0, extra: Tensor | None = None
) -> Tensor:
    """SPQ's cross-quantized contrast (arXiv 2109.02244): embeddings of one view against quantized rows of the other.

    x, z (2B, D). The sum of two contrasts, over {x of the first views, z of the second} and {x second, z first}: the
    pair (x, z) of one and the same view is never compared. clip, rho, extra: as for `contrast`.
    """
    B = len(x) // 2
    one = contrast(torch.cat([x[:B], z[B:]]), tau, clip=clip, rho=rho, extra=extra)
    return one + contrast(torch.cat([x[B:], z[:B]]), tau, clip=clip, rho=rho, extra=extra)


def soft_code_entropy(p: Tensor) -> Tensor:
    """Mean entropy of the soft assignments p (·, M, K) in nats: minimized, it pushes them to one codeword (MeCoQ)."""
    return -_p_log_p(p).sum(2).mean()


def codeword_similarity(C: Tensor) -> Tensor:
    """MeCoQ's Ω_C (arXiv 2109.05205): mean over m, k, j of ⟨c_mk, c_mj⟩, codebooks C (M, K, d)."""
    return (C @ C.transpose(1, 2)).mean()


def part_neighbours(z: Tensor, M: int, tau: float, count: int) -> Tensor:
    """SSCQ's part neighbour consistency (arXiv 2206.09806): each sub-vector is drawn to its nearest ones of the batch.

    z (2B, M·d). In each codebook, over the 2B - 2 rows of other pictures (s the cosine of sub-vectors), the `count`
    most similar are positives: mean of log Σ_all e^{s/t} - log Σ_nearest e^{s/t}. Fewer rows than that count all.
    """
    anchors = len(z)
    parts = F.normalize(z.reshape(anchors, M, -1), dim=2).transpose(0, 1)  # (M, 2B, d)
    logits = parts @ parts.transpose(1, 2) / tau
    row = torch.arange(anchors, device=z.device)
    nothing = logits.new_tensor(-torch.inf)
    same = torch.zeros(anchors, anchors, dtype=torch.bool, device=z.device)
    same[row, row] = same[row, (row + anchors // 2) % anchors] = True
    logits = torch.where(same, nothing, logits)
    nearest = logits.topk(min(count, anchors - 2), dim=2).values
    return (torch.logsumexp(logits, dim=2) - torch.logsumexp(nearest, dim=2)).mean()


def codeword_usage(x: Tensor, C: Tensor) -> Tensor:
    """SSCQ's codeword diversity: Σ_k q̄_k log q̄_k, mean over codebooks; minimized, all codewords are used alike.

    x (·, M·d), codebooks C (M, K, d); q̄ is the batch's mean of softmax_k of the cosines of x_m with c_mk.
    """
    M = len(C)
    cosines = torch.einsum(
        "bmd,mkd->bmk", F.normalize(x.reshape(len(x), M, -1), dim=2), F.normalize(C, dim=2)
    )
    q = cosines.softmax(2).mean(0)
    return _p_log_p(q).sum(1).mean()


def view_consistency(r: Tensor, tau: float) -> Tensor:
    """SSCQ's global consistency: the two views of a picture see the other pictures alike.

    r (2B, D). Each row's distribution over the 2B - 2 rows of other pictures is softmax of cosine / τ; the loss is the
    symmetric Kullback-Leibler divergence ½(KL(p‖q) + KL(q‖p)) of the two views' distributions, mean over pictures.
    """
    rows = len(r)
    B = rows // 2
    unit = F.normalize(r, dim=1)
    logits = unit @ unit.T / tau
    row = torch.arange(rows, device=r.device)
    other = torch.ones(rows, rows, dtype=torch.bool, device=r.device)
    other[row, row] = other[row, (row + B) % rows] = False
    logs = logits[other].view(rows, rows - 2).log_softmax(1)
    p, q = logs[:B], logs[B:]
    return 0.5 * ((p.exp() - q.exp()) * (p - q)).sum(1).mean()


def relation(rows: Tensor, teacher: Tensor, tau: float, teacher_tau: float, *, partner: bool) -> Tensor:
    """Each row sees the other pictures as its teacher does, only more decidedly (after ReSSL, arXiv 2107.09282).

    rows (2B, D) learn, teacher (2B, E) does not. With s the cosine, over the 2B - 2 rows n of other pictures:

    L = -1/(2B) Σ_a Σ_n softmax_n(s(t_a, t_n) / teacher_tau) log softmax_n(s(r_a, r_n) / τ),

    where no gradient flows into r_n. `partner`: row a follows the teacher of its picture's other view, t_{a ± B}, in
    place of t_a. A teacher_tau below τ sharpens what is to be learned.
    """
    count = len(rows)
    row = torch.arange(count, device=rows.device)
    other = torch.ones(count, count, dtype=torch.bool, device=rows.device)
    other[row, row] = other[row, (row + count // 2) % count] = False
    shape = (count, count - 2)
    unit, told = F.normalize(rows, dim=1), F.normalize(teacher.detach(), dim=1)
    # The same columns for both views of a picture, so that a row can follow that of its partner.
    seen = (unit @ unit.detach().T / tau)[other].view(shape).log_softmax(1)
    target = (told @ told.T / teacher_tau)[other].view(shape).softmax(1)
    if partner:
        target = target.roll(count // 2, 0)
    return -(target * seen).sum(1).mean()


def _p_log_p(p: Tensor) -> Tensor:
    """p log p, with a finite gradient where an assignment has underflown to 0."""
    return p * p.clamp(min=torch.finfo(p.dtype).tiny).log()

"""Pure losses on batches of two views. Rows 0 … B-1 are the first views, rows B … 2B-1 the second ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def clipped_contrastive(rows: Tensor, tau: float, clip: int) -> Tensor:
    """The clipped contrastive loss of TransClippedCLR (arXiv 2401.15362); `clip=0` is NT-Xent.

    rows (2B, D): the two views of B pictures. For each anchor a the other view is the positive, the 2B - 2 rest are
    negatives, of which the `clip` most similar ones (likely false negatives) are left out; which of equals, is open.
    L = -1/(2B) Σ_a log( e^{s_a⁺/τ} / (e^{s_a⁺/τ} + Σ_{n kept} e^{s_an/τ}) ), s cosine. Raises ValueError when `clip`
    leaves no negative.
    """
    anchors = len(rows)
    if not 0 <= clip < anchors - 2:
        raise ValueError(f"clip {clip} leaves none of the {anchors - 2} negatives")
    unit = F.normalize(rows, dim=1)
    logits = unit @ unit.T / tau
    row = torch.arange(anchors, device=rows.device)
    partner = (row + anchors // 2) % anchors
    positive = logits[row, partner]
    logits = logits.index_put((row, row), logits.new_tensor(-torch.inf))
    if clip:
        negatives = logits.detach().index_put((row, partner), logits.new_tensor(-torch.inf))
        most_similar = negatives.topk(clip, dim=1).indices
        logits = logits.scatter(1, most_similar, -torch.inf)
    return (torch.logsumexp(logits, dim=1) - positive).mean()

"""The product quantizer with unit codewords: soft while learning, nearest codeword when a code is written."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Quantizer(nn.Module):
    """M codebooks of K unit codewords in d dimensions.

    p_mk = softmax_k(α ⟨x_m, c_mk⟩), z_m = Σ_k p_mk c_mk (MeCoQ's head, arXiv 2109.05205, which TransClippedCLR's
    asymmetric quantized similarity rests on). With `frozen` the random codewords are a buffer and are not trained.
    """

    C: Tensor

    def __init__(self, M: int, K: int, d: int, alpha: float, frozen: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        start = F.normalize(torch.randn(M, K, d), dim=2)
        if frozen:
            self.register_buffer("C", start)
        else:
            self.C = nn.Parameter(start)

    def codewords(self) -> Tensor:
        """The codebooks (M, K, d), each codeword of length 1."""
        return F.normalize(self.C, dim=2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, D) with unit sub-vectors → z (B, D) soft-quantized, p (B, M, K) soft assignment."""
        C = self.codewords()
        M, _, d = C.shape
        scores = torch.einsum("bmd,mkd->bmk", x.reshape(-1, M, d), C)
        p = torch.softmax(self.alpha * scores, dim=2)
        return torch.einsum("bmk,mkd->bmd", p, C).flatten(1), p

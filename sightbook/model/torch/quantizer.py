"""Product quantizers: soft while learning, nearest codeword when a code is written."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightbook.model.networks import QuantizerKind


class Quantizer(nn.Module):
    """M codebooks of K codewords in d dimensions: p (·, M, K) soft assignment, z_m = Σ_k p_mk c_mk.

    cosine: unit codewords, p_mk = softmax_k(α ⟨x_m, c_mk⟩) (MeCoQ's head, arXiv 2109.05205, which TransClippedCLR's
    asymmetric quantized similarity rests on). distance: free codewords, p_mk = softmax_k(-α ‖x_m - c_mk‖²) (SPQ,
    arXiv 2109.02244, with its Xavier start); kmeans: the same, to be started from clusters
    (`sightbook.learn.statistics.start_codes`). With `frozen` the random codewords are a buffer and are not trained.
    """

    C: Tensor

    def __init__(
        self, M: int, K: int, d: int, alpha: float, *, frozen: bool = False, kind: QuantizerKind = "cosine"
    ) -> None:
        super().__init__()
        self.alpha, self.kind = alpha, kind
        if kind == "cosine":
            start = F.normalize(torch.randn(M, K, d), dim=2)
        else:
            start = (2 * torch.rand(M, K, d) - 1) * math.sqrt(6 / (K + M * d))
        if frozen:
            self.register_buffer("C", start)
        else:
            self.C = nn.Parameter(start)

    def codewords(self) -> Tensor:
        """The codebooks (M, K, d), each codeword of length 1 when the kind is cosine."""
        return F.normalize(self.C, dim=2) if self.kind == "cosine" else self.C

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, D) → z (B, D) soft-quantized, p (B, M, K) soft assignment."""
        C = self.codewords()
        M, _, d = C.shape
        logits = torch.einsum("bmd,mkd->bmk", x.reshape(-1, M, d), C)
        if self.kind != "cosine":
            logits = 2 * logits - (C * C).sum(2)  # minus ‖x_m‖², which no softmax notices
        p = torch.softmax(self.alpha * logits, dim=2)
        return torch.einsum("bmk,mkd->bmd", p, C).flatten(1), p

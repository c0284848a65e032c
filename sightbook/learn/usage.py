"""How evenly the codewords are used: a collapsed codebook is the first thing that goes wrong in this field."""

from __future__ import annotations

import torch
from torch import Tensor


class Usage:
    """Running counts (M, K) of nearest codewords, fading so that the figure speaks of the last hundred batches."""

    def __init__(self, M: int, K: int, device: torch.device, fade: float = 0.99) -> None:
        self.counts = torch.zeros(M, K, device=device)
        self._latest = torch.zeros(M, K, device=device)
        self.fade = fade

    @torch.no_grad()
    def update(self, p: Tensor) -> None:
        """p (B, M, K) soft assignments."""
        nearest = p.argmax(2, keepdim=True)
        batch = torch.zeros_like(p).scatter_(2, nearest, 1.0).sum(0)
        self.counts.mul_(self.fade).add_(batch)
        self._latest = batch

    def collapsed(self) -> bool:
        """Whether all pictures of the latest batch chose one and the same codeword, in every codebook."""
        return bool((self._latest.max(1).values == self._latest.sum(1)).all())

    def share(self) -> float:
        """Share of the codewords that some picture chose lately."""
        return float((self.counts >= 1.0).float().mean())

    def perplexity(self) -> float:
        """exp(entropy) of the choices, mean over codebooks: K when all codewords are used alike, 1 when one is."""
        q = self.counts / self.counts.sum(1, keepdim=True).clamp(min=1e-9)
        entropy = -(q * q.clamp(min=1e-12).log()).sum(1)
        return float(entropy.exp().mean())

"""The projection head: features (B, F) → embedding x (B, D) whose M sub-vectors have length 1."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Head(nn.Module):
    """A linear projection, cut into M sub-vectors that are L2-normalized (docs/methods.md, section TransClippedCLR)."""

    def __init__(self, features: int, M: int, D: int) -> None:
        super().__init__()
        self.M, self.D = M, D
        self.project = nn.Linear(features, D)

    def forward(self, features: Tensor) -> Tensor:
        """Returns x (B, D) float32."""
        projected = self.project(features).float()
        return F.normalize(projected.unflatten(1, (self.M, self.D // self.M)), dim=2).flatten(1)

"""The projection head: features (B, F) → embedding x (B, D) whose M sub-vectors have length 1."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Head(nn.Module):
    """A linear projection, standardized, cut into M sub-vectors that are L2-normalized.

    Standardizing each dimension (a batch norm without scale and shift; two fixed vectors after training) takes out
    what all pictures have in common. Without it sub-vectors crowd in one corner of the sphere and a third of the
    codewords is never used (docs/methods.md, section TransClippedCLR).
    """

    def __init__(self, features: int, M: int, D: int) -> None:
        super().__init__()
        self.M, self.D = M, D
        self.project = nn.Linear(features, D, bias=False)
        self.standardize = nn.BatchNorm1d(D, affine=False)

    def forward(self, features: Tensor) -> Tensor:
        """Returns x (B, D) float32."""
        projected = self.standardize(self.project(features).float())
        return F.normalize(projected.unflatten(1, (self.M, self.D // self.M)), dim=2).flatten(1)

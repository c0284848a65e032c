"""The projection head: features (B, F) → embedding x (B, D) of M sub-vectors."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Head(nn.Module):
    """One linear layer, or two with a ReLU between them; then standardized and L2-normalized, where asked for.

    `unit`: the features are brought to length 1 first.

    Standardizing each dimension (a batch norm without scale and shift; two fixed vectors after training) takes out
    what all pictures have in common. Without it sub-vectors crowd in one corner of the sphere and a third of the
    codewords is never used (docs/methods.md, section TransClippedCLR).
    """

    def __init__(
        self,
        features: int,
        M: int,
        D: int,
        *,
        layers: int = 1,
        standardize: bool = True,
        normalize: bool = True,
        unit: bool = False,
    ) -> None:
        super().__init__()
        self.M, self.D, self.normalize, self.unit = M, D, normalize, unit
        self.hidden = (
            nn.Sequential(nn.Linear(features, features), nn.ReLU()) if layers == 2 else nn.Identity()
        )
        self.project = nn.Linear(features, D, bias=not standardize)
        self.standardize = nn.BatchNorm1d(D, affine=False) if standardize else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Returns x (B, D) float32, its M sub-vectors of length 1 when normalized."""
        if self.unit:
            features = F.normalize(features.float(), dim=1)
        x: Tensor = self.standardize(self.project(self.hidden(features)).float())
        return F.normalize(x.reshape(-1, self.M, self.D // self.M), dim=2).flatten(1) if self.normalize else x

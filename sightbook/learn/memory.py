"""MeCoQ's code memory (arXiv 2109.05205): soft codes of earlier batches, rebuilt with the codebooks of the moment."""

from __future__ import annotations

import torch
from torch import Tensor


class Memory:
    """First in, first out: the last `size` soft assignments. Codes age; the codewords they stand for do not.

    codes (size, M, K): the newest stand last, the first size - filled rows are empty. Both tensors are changed in
    place, so that a checkpoint can be copied into them.
    """

    def __init__(self, size: int, M: int, K: int, device: torch.device) -> None:
        self.codes = torch.zeros(size, M, K, device=device)
        self._filled = torch.zeros((), dtype=torch.int64)

    @property
    def filled(self) -> int:
        """How many rows are in use."""
        return int(self._filled)

    @torch.no_grad()
    def push(self, p: Tensor) -> None:
        """Takes up p (·, M, K) of a batch; the oldest make room."""
        size = len(self.codes)
        newest = p.detach()[-size:].to(self.codes.dtype)
        self.codes.copy_(torch.cat([self.codes[len(newest) :], newest]))
        self._filled.fill_(min(size, self.filled + len(newest)))

    def rows(self, C: Tensor) -> Tensor:
        """z (filled, M·d): the remembered soft codes with the current codebooks C (M, K, d), which get gradients."""
        remembered = self.codes[len(self.codes) - self.filled :]
        return torch.einsum("bmk,mkd->bmd", remembered, C).flatten(1)

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        return {"codes": self.codes, "filled": self._filled}

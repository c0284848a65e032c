"""Muon: the step of a matrix is its momentum made orthogonal, so that all its directions learn alike (Jordan 2024).

A convolution (O, I, k, k) counts as a matrix (O, I·k²). Everything else follows AdamW: vectors, head, codewords, and
the first convolution, which starts from the colours' own patches. What it gains: docs/log.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

_MOMENTUM = 0.9
_ROUNDS = 3  # of the iteration: its results are nearly orthogonal, which is as good
# Coefficients of Jordan's iteration: steep at 0, and within .3 of 1 for all singular values from there on.
_A, _B, _C = 3.4445, -4.7750, 2.0315
# A step's largest singular value, in rates; of a matrix with more rows than columns more, as in Jordan's code. One
# rate then does for both kinds: .04 where AdamW goes by .002 (measured; scaled by the root of the larger side, so that
# steps are as large as AdamW's, all of it was worse).
_TIMES = 20


class Muon(torch.optim.AdamW):
    """Groups with `matrices` true follow Muon, the others AdamW; `lr` and `weight_decay` mean the same in both."""

    def __init__(self, groups: Iterable[Mapping[str, Any]]) -> None:
        super().__init__([dict(group) for group in groups], fused=True)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of all groups."""
        every = self.param_groups
        self.param_groups = [group for group in every if not group["matrices"]]
        try:
            super().step()
        finally:
            self.param_groups = every
        for group in every:
            if group["matrices"]:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self._move(parameter, group["lr"], group["weight_decay"])

    def _move(self, parameter: Tensor, rate: float, decay: float) -> None:
        grad = parameter.grad
        assert grad is not None
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())  # AdamW looks for it in every state
            state["momentum"] = torch.zeros_like(grad)
        momentum = state["momentum"].lerp_(grad, 1 - _MOMENTUM)
        ahead = grad.lerp(momentum, _MOMENTUM)  # Nesterov's
        matrix = ahead.reshape(len(ahead), -1)
        step = orthogonal(matrix).reshape(ahead.shape)
        parameter.mul_(1 - rate * decay)
        rows, columns = matrix.shape
        parameter.add_(step, alpha=-rate * _TIMES * max(1.0, rows / columns) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """The matrix (n, m) with singular values near 1: X ← aX + (bA + cA²)X with A = XXᵀ, begun at a norm of 1."""
    wide = matrix.float() if matrix.shape[0] <= matrix.shape[1] else matrix.float().T
    X = wide / (wide.norm() + 1e-7)
    for _ in range(_ROUNDS):
        A = X @ X.T
        X = _A * X + (_B * A + _C * (A @ A)) @ X
    same: Tensor = X if matrix.shape[0] <= matrix.shape[1] else X.T
    return same

"""fp32 or bf16: whichever runs this network faster on this machine, measured on the network itself."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import nn

REPEATS = 3
Net = TypeVar("Net", bound=nn.Module)


def autocast(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[Any]:
    """The context in which the backbone runs; None is plain float32."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def faster(network: Net, step: Callable[[Net, torch.dtype | None], object]) -> tuple[str, dict[str, float]]:
    """Times `step(copy of network, dtype)` and returns ('fp32' | 'bf16', seconds by name).

    The copy keeps the measurement from touching weights, gradients and running statistics. bf16 has to win by 5 %:
    at a tie the exact arithmetic is the better one.
    """
    seconds: dict[str, float] = {}
    trial = copy.deepcopy(network)
    for name, dtype in (("fp32", None), ("bf16", torch.bfloat16)):
        best = float("inf")
        for repeat in range(REPEATS + 1):
            start = time.perf_counter()
            step(trial, dtype)
            if next(trial.parameters()).is_cuda:
                torch.cuda.synchronize()
            if repeat:  # the first run warms caches and kernels up
                best = min(best, time.perf_counter() - start)
        seconds[name] = best
    return ("bf16" if seconds["bf16"] < 0.95 * seconds["fp32"] else "fp32"), seconds


def told(name: str, seconds: dict[str, float]) -> str:
    """The choice in one line."""
    return f"bf16 takes {seconds['bf16'] / seconds['fp32']:.2f} of fp32's time here: {name} it is"

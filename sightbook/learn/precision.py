"""fp32 or bf16: whichever runs this network faster on this machine. The processor is asked first, then a few pictures
are timed on the network itself."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

PICTURES = 16  # to time with: a slow processor takes a second for them, and minutes for a batch of photos
REPEATS = 3
_LOST = 1.5  # bf16 whose first run takes so much longer than fp32's is not tried again
CPUINFO = Path("/proc/cpuinfo")
_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86 twice, ARM
Net = TypeVar("Net", bound=nn.Module)


def autocast(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[Any]:
    """The context in which the backbone runs; None is plain float32."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def has_bf16() -> bool | None:
    """Whether the processor computes in bf16 by itself, as Linux tells; None where it is not told. One that does not
    goes through float32 in software, many times slower."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    flags = {word for line in lines if line.startswith(("flags", "Features")) for word in line.split()}
    return bool(flags & _FLAGS) if flags else None


def faster(
    network: Net, step: Callable[[Net, torch.dtype | None], object], device: torch.device
) -> tuple[str, str]:
    """('fp32' | 'bf16', why in one line): times `step(copy of network, dtype)`, unless the processor has no bf16.

    The copy keeps the measurement from touching weights, gradients and running statistics. bf16 has to win by 5 %:
    at a tie the exact arithmetic is the better one.
    """
    if device.type == "cpu" and has_bf16() is False:
        return "fp32", "this processor has no bf16 arithmetic: fp32 it is"
    trial = copy.deepcopy(network)
    best, first = {}, float("inf")
    for name, dtype in (("fp32", None), ("bf16", torch.bfloat16)):
        times = []
        for repeat in range(REPEATS + 1):
            start = time.perf_counter()
            step(trial, dtype)
            if next(trial.parameters()).is_cuda:
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
            if repeat == 0 and device.type == "cpu" and times[0] > _LOST * first:
                break
        first = times[0]
        best[name] = min(times[1:] or times)  # the first run warms caches and kernels up
    chosen = "bf16" if best["bf16"] < 0.95 * best["fp32"] else "fp32"
    return chosen, f"bf16 takes {best['bf16'] / best['fp32']:.2f} of fp32's time here: {chosen} it is"

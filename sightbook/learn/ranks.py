"""Several training processes as one: `torchrun --nproc-per-node N -m sightbook train …`.

Data flow of a step: every rank draws the same B pictures, makes views of its own part of them and runs the backbone on
those; the features of all ranks are gathered, and head, quantizer and loss see the whole batch on every rank. So the
negatives, what is clipped of them, the code memory and the standardized embedding are those of one process with that
batch. Going back, each rank's features get their slice of the gradient; the backbone's gradients are then added over
the ranks. Rank 0 alone decides about time and stopping, and writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed, nn

from sightbook.errors import ConfigError

Sliceable = TypeVar("Sliceable", Tensor, np.ndarray)


@dataclass(frozen=True)
class Ranks:
    """This process among `world` equal ones. A world of 1 needs no process group, and every method does nothing."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def part(self, whole: Sliceable) -> Sliceable:
        """This rank's part of a batch (an array or a tensor), whose length the world divides."""
        share = len(whole) // self.world
        return whole[self.rank * share : (self.rank + 1) * share]

    def gather(self, features: Tensor) -> Tensor:
        """Features of this rank's views (2b, F) → those of all ranks (2B, F): first views of all, then second ones."""
        if self.world == 1:
            return features
        gathered: Tensor = _Gather.apply(features, self)  # type: ignore[no-untyped-call]
        return gathered

    def reduce_gradients(self, network: nn.Module) -> None:
        """Makes every rank's gradients those of the whole batch, in place.

        The backbone's are sums, since each rank saw a part; all others are whole already, and are averaged only so that
        rounding cannot drive the ranks apart.
        """
        if self.world == 1:
            return
        for name, parameter in network.named_parameters():
            if parameter.grad is not None:
                distributed.all_reduce(parameter.grad)
                if not name.startswith("backbone."):
                    parameter.grad /= self.world

    def agree(self, values: Iterable[float], device: torch.device) -> list[float]:
        """Rank 0's numbers, on every rank."""
        numbers = torch.tensor(list(values), dtype=torch.float64, device=device)
        if self.world > 1:
            distributed.broadcast(numbers, 0)
        found: list[float] = numbers.tolist()
        return found

    def any(self, told: bool, device: torch.device) -> bool:
        """Whether any rank was told so."""
        if self.world == 1:
            return told
        flag = torch.tensor([int(told)], device=device)
        distributed.all_reduce(flag, distributed.ReduceOp.MAX)
        return bool(flag.item())

    def spread(self, network: nn.Module) -> None:
        """Gives every rank the weights and buffers of rank 0."""
        if self.world > 1:
            for tensor in [*network.parameters(), *network.buffers()]:
                distributed.broadcast(tensor.data, 0)

    def wait(self) -> None:
        """Until all ranks are here."""
        if self.world > 1:
            distributed.barrier()


ALONE = Ranks()


class _Gather(torch.autograd.Function):
    """All ranks' rows; backwards a rank takes the gradient of its own, since every rank computes the whole loss."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        pieces = [torch.empty_like(features) for _ in range(ranks.world)]
        distributed.all_gather(pieces, features.contiguous())
        half = len(features) // 2
        return torch.cat([piece[:half] for piece in pieces] + [piece[half:] for piece in pieces])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        first, second = gradients[0].chunk(2)
        return torch.cat([ctx.ranks.part(first), ctx.ranks.part(second)]).contiguous(), None


def from_environment() -> Ranks:
    """What torchrun says in RANK and WORLD_SIZE; alone without it. Joins nothing yet."""
    try:
        return Ranks(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))
    except ValueError:
        raise ConfigError(
            f"RANK={os.environ.get('RANK')} and WORLD_SIZE={os.environ.get('WORLD_SIZE')} are not numbers: "
            "start several processes by torchrun"
        ) from None


def join(ranks: Ranks, device: torch.device) -> None:
    """Joins the process group: NCCL between GPUs, gloo between CPUs."""
    if ranks.world > 1 and not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")


def leave() -> None:
    """Leaves the process group, if there is one."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def check_batch(batch: int, ranks: Ranks) -> None:
    """ConfigError when the ranks cannot share a batch equally."""
    if batch % ranks.world:
        raise ConfigError(
            f"a batch of {batch} pictures cannot be shared by {ranks.world} processes: "
            f"set batch to a multiple of {ranks.world}"
        )

"""A run of training: what moves, what it is fed with, and which pictures a step takes."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sightbook.learn import checkpoint
from sightbook.learn.checkpoint import Position
from sightbook.learn.features import Features
from sightbook.learn.memory import Memory
from sightbook.learn.ranks import ALONE, Ranks
from sightbook.learn.settings.config import TrainConfig
from sightbook.learn.store import Store
from sightbook.learn.usage import Usage
from sightbook.learn.views import Views
from sightbook.model.torch.network import Network


@dataclass
class Run:
    """One training run: what moves (network, optimizer, usage, position) and what it is fed with."""

    config: TrainConfig
    network: Network
    views: Views
    store: Store
    device: torch.device
    folder: Path
    optimizer: torch.optim.Optimizer
    usage: Usage
    at: Position
    memory: Memory | None = None
    ranks: Ranks = ALONE
    features: Features | None = None
    resident: Tensor | None = None  # all pixels (N, R, R, 3) uint8 on the device, where they fit
    first_views: Views | None = None  # those of the first part of the budget, where they are others
    local_views: Views | None = None  # those of small parts, where there are some
    # Of the last step's loss, weighted: it is their sum.
    terms: dict[str, float] = field(default_factory=dict)

    @property
    def batch(self) -> int:
        """Pictures in a step, over all ranks; fewer than configured when the collection is smaller."""
        fitting = min(self.config.batch, len(self.store.train))
        return fitting - fitting % self.ranks.world

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in an epoch; the remainder of a shuffled epoch is dropped."""
        return len(self.store.train) // self.batch

    def fraction(self) -> float:
        """How much of the budget is spent, 0 to 1: by steps or by time."""
        if self.config.epochs is not None:
            total = self.config.epochs * self.steps_per_epoch
            return 1.0 if total == 0 else self.at.step / total
        assert self.config.minutes is not None
        return self.at.seconds / (60.0 * self.config.minutes)

    def views_now(self) -> Views:
        """The random views of the present part of the budget."""
        early = self.first_views is not None and self.fraction() < self.config.views.first_share
        return self.first_views if early and self.first_views is not None else self.views

    def save(self) -> None:
        if not self.ranks.first:
            return
        checkpoint.save(self.folder, self.network, self.optimizer, collect(self.usage, self.memory), self.at)

    def recall(self) -> Tensor | None:
        """Rows (E, D) of the code memory that take part now; None before `terms.memory_after` of the budget."""
        if (
            self.memory is None
            or self.memory.filled == 0
            or self.fraction() < getattr(self.config.terms, "memory_after", 0.0)
        ):
            return None
        return self.memory.rows(self.network.quantizer.codewords())


def memory_for(config: TrainConfig, device: torch.device) -> Memory | None:
    """The code memory of a method that has one."""
    size = getattr(config.terms, "memory", 0)
    return Memory(size, config.M, config.K, device) if size else None


def collect(usage: Usage, memory: Memory | None) -> dict[str, Tensor]:
    """The tensors besides weights and moments that a run goes on from; a checkpoint is copied into them."""
    found = {"usage": usage.counts}
    if memory is not None:
        found |= {f"memory.{name}": tensor for name, tensor in memory.tensors().items()}
    return found


def rows_of(step: int, steps_per_epoch: int, batch: int, count: int, seed: int) -> np.ndarray:
    """Which of `count` pictures make up a step: each epoch is a new permutation, drawn from (seed, epoch) alone."""
    epoch, place = divmod(step, steps_per_epoch)
    order = _permutation(count, seed, epoch)
    return np.sort(order[place * batch : (place + 1) * batch])


@functools.lru_cache(maxsize=1)  # drawing it takes as long as a step where there are a million pictures
def _permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    order = np.random.default_rng((seed, epoch)).permutation(count)
    order.flags.writeable = False
    return order


def places_of(run: Run) -> np.ndarray:
    """This rank's pictures of the coming step, as places in `Store.train`."""
    count = len(run.store.train)
    return run.ranks.part(rows_of(run.at.step, run.steps_per_epoch, run.batch, count, run.config.seed))


def pictures_of(run: Run) -> Tensor:
    """This rank's pictures (b, R, R, 3) uint8 of the coming step, on the device."""
    rows = run.store.train[places_of(run)]
    if run.resident is not None:
        return run.resident[torch.from_numpy(rows).to(run.device, non_blocking=True)]
    return torch.from_numpy(run.store.pixels[rows]).to(run.device, non_blocking=True)

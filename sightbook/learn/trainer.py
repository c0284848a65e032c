"""The training loop. Device, precision and budget wrap the step and never fork it.

Data flow of a step: row numbers (a function of seed and step) → pictures uint8 → two views on the device → features (or
features from the cache of a frozen backbone) → x, z, p → the method's loss → gradients, clipped → optimizer → usage,
log, checkpoint.
"""

from __future__ import annotations

import functools
import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sightbook.errors import ConfigError, ModelError
from sightbook.interrupt import deferred_interrupt
from sightbook.learn import checkpoint
from sightbook.learn.checkpoint import Position
from sightbook.learn.features import Features
from sightbook.learn.log import TrainLog
from sightbook.learn.memory import Memory
from sightbook.learn.methods.batch import ViewBatch
from sightbook.learn.methods.loss import Terms, mean_of, terms_of, total
from sightbook.learn.muon import Muon
from sightbook.learn.precision import autocast
from sightbook.learn.ranks import ALONE, Ranks
from sightbook.learn.settings.config import TrainConfig
from sightbook.learn.settings.sections import OptimizerConfig
from sightbook.learn.snapshots import Series
from sightbook.learn.store import Store
from sightbook.learn.usage import Usage
from sightbook.learn.verdict import VIEW_SEED
from sightbook.learn.views import Views
from sightbook.model.torch.freezing import freeze_statistics
from sightbook.model.torch.network import Network
from sightbook.progress import Listener, Meter

# A collapse is called one when so many looks in a row see it, within an epoch.
_LOOKS, _LOOK_EVERY = 3, 20
_MOMENTUM = 0.9  # of SGD, as MeCoQ and DCCQ have it


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
    terms: dict[str, float] = field(
        default_factory=dict
    )  # of the last step's loss, weighted: it is their sum

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


def optimizer_for(network: Network, settings: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimizer of everything trainable; biases, norms and codewords do not decay. `base`: a group's own rate."""
    rate = settings.rate
    backbone_rate = settings.backbone_rate or rate
    groups: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            decays = parameter.ndim > 1 and not name.startswith("quantizer.")
            key = (
                backbone_rate if name.startswith("backbone.") else rate,
                settings.weight_decay if decays else 0.0,
                settings.kind == "muon" and is_inner_convolution(name, parameter),
            )
            groups.setdefault(key, []).append(parameter)
    each = [
        {"params": group, "lr": base, "base": base, "weight_decay": decay, "matrices": matrices}
        for (base, decay, matrices), group in groups.items()
    ]
    if settings.kind == "muon":
        if not any(group["matrices"] for group in each):
            raise ConfigError(
                "optimizer.kind muon would do nothing: no convolutions are trained here; take adamw"
            )
        return Muon(each)
    if settings.kind == "sgd":
        return torch.optim.SGD(each, lr=rate, momentum=_MOMENTUM)
    if settings.kind == "adam":
        return torch.optim.Adam(each, fused=True)
    return torch.optim.AdamW(each, fused=True)


def is_inner_convolution(name: str, parameter: nn.Parameter) -> bool:
    """Whether it is a convolution of the backbone that sees more than colours."""
    return name.startswith("backbone.") and parameter.ndim == 4 and parameter.shape[1] > 3


def schedule(fraction: float, warmup: float) -> float:
    """Factor of the rate at `fraction` of the budget: linear warm-up from a tenth, then half a cosine to zero."""
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(fraction, 1.0)))
    return cosine * (min(1.0, 0.1 + 0.9 * fraction / warmup) if warmup > 0 else 1.0)


def rows_of(step: int, steps_per_epoch: int, batch: int, rows: np.ndarray, seed: int) -> np.ndarray:
    """Which pictures make up a step: each epoch is a new permutation of `rows`, drawn from (seed, epoch) alone."""
    epoch, place = divmod(step, steps_per_epoch)
    order = _permutation(len(rows), seed, epoch)
    chosen: np.ndarray = rows[np.sort(order[place * batch : (place + 1) * batch])]
    return chosen


@functools.lru_cache(maxsize=1)  # drawing it takes as long as a step where there are a million pictures
def _permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    order = np.random.default_rng((seed, epoch)).permutation(count)
    order.flags.writeable = False
    return order


def forward_loss(
    network: Network,
    views: Tensor,
    config: TrainConfig,
    dtype: torch.dtype | None,
    *,
    remembered: Tensor | None = None,
    local: Tensor | None = None,
    ranks: Ranks = ALONE,
) -> tuple[Tensor, Tensor, Terms]:
    """Two views (2B, 3, S, S) → (loss, p, terms). The backbone runs in `dtype` under autocast, the rest in float32.

    local (L·B, 3, S, S): views of small parts. With several ranks the views are this rank's part, loss, p and terms
    those of the whole batch.
    """
    with autocast(views.device, dtype):
        parts = views.chunk(2) if config.views.apart else (views,)
        features = torch.cat([network.backbone(part) for part in parts]).float()
        small = None if local is None else network.backbone(local).float()
    return features_loss(network, ranks.gather(features), config, remembered, small)


def features_loss(
    network: Network,
    features: Tensor,
    config: TrainConfig,
    remembered: Tensor | None = None,
    local: Tensor | None = None,
) -> tuple[Tensor, Tensor, Terms]:
    """Features (2B, F) float32 of two views → (loss, p, terms); the terms, with their weights, add up to the loss.

    remembered (E, D): rows of the code memory, further negatives of the methods that have one; local (L·B, F): features
    of views of small parts. With nested codes the loss is the mean over all prefixes that are to be codes by
    themselves, and so is each term.
    """
    x = network.head(features)
    z, p = network.quantizer(x)
    small = None if local is None else network.head(local)
    batch = ViewBatch(features, x, z, p, network.quantizer.codewords(), remembered, small)
    parts = [terms_of(batch.prefix(M), config) for M in config.prefixes]
    loss = torch.stack([total(part) for part in parts]).mean()
    if torch.is_grad_enabled() and not loss.requires_grad:
        raise ConfigError(
            f"the loss of method {config.method} depends on nothing that is trained: give a term a weight above 0"
        )
    return loss, p, mean_of(parts)


@torch.no_grad()
def held_out_loss(
    network: Network, views: Views, pictures: np.ndarray, config: TrainConfig, device: torch.device
) -> float | None:
    """The method's loss on two views of each of the pictures (n, R, R, 3) uint8, in batches like those of training.

    The views are the same for every network. None when the pictures are too few for one batch of the method.
    """
    size = min(config.batch, len(pictures))
    small = views.local() if config.views.local else None
    modes = {module: module.training for module in network.modules()}
    network.eval()
    losses = []
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(VIEW_SEED)
            for start in range(0, len(pictures) - size + 1, size):
                chunk = torch.from_numpy(np.ascontiguousarray(pictures[start : start + size])).to(device)
                local = None if small is None else small(chunk, config.views.local)
                losses.append(float(forward_loss(network, views(chunk), config, None, local=local)[0]))
    except ConfigError:
        return None
    finally:
        for module, mode in modes.items():
            module.training = mode
    mean = sum(losses) / len(losses)
    return mean if math.isfinite(mean) else None


def step(run: Run, dtype: torch.dtype | None) -> float:
    """One optimizer step on the coming batch; returns the loss, and leaves its terms in `run.terms`.

    Random only through (seed, step) and the rank.
    """
    torch.manual_seed(run.config.seed * 1_000_003 + run.at.step + (run.ranks.rank << 40))
    if run.features is not None:
        features = run.features.pairs(places_of(run), run.config.seed, run.at.step, run.device)
        loss, p, terms = features_loss(run.network, features, run.config, run.recall())
    else:
        pictures = pictures_of(run)
        views = run.views_now()(pictures)
        local = None if run.local_views is None else run.local_views(pictures, run.config.views.local)
        loss, p, terms = forward_loss(
            run.network, views, run.config, dtype, remembered=run.recall(), local=local, ranks=run.ranks
        )
    factor = schedule(run.fraction(), run.config.optimizer.warmup)
    for group in run.optimizer.param_groups:
        group["lr"] = group["base"] * factor
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    run.ranks.reduce_gradients(run.network)
    if run.config.optimizer.clip_norm is not None:
        nn.utils.clip_grad_norm_(run.network.parameters(), run.config.optimizer.clip_norm)
    run.optimizer.step()
    run.usage.update(p)
    if run.memory is not None:
        run.memory.push(p)
    # One transfer for all of them: a step waits for the device once.
    found, *each = torch.stack([loss, *terms.values()]).detach().tolist()
    run.terms = dict(zip(terms, each, strict=True))
    return float(found)


def places_of(run: Run) -> np.ndarray:
    """This rank's pictures of the coming step, as places in `Store.train`."""
    every = np.arange(len(run.store.train))
    return run.ranks.part(rows_of(run.at.step, run.steps_per_epoch, run.batch, every, run.config.seed))


def pictures_of(run: Run) -> Tensor:
    """This rank's pictures (b, R, R, 3) uint8 of the coming step, on the device."""
    rows = run.store.train[places_of(run)]
    if run.resident is not None:
        return run.resident[torch.from_numpy(rows).to(run.device, non_blocking=True)]
    return torch.from_numpy(run.store.pixels[rows]).to(run.device, non_blocking=True)


def fit(run: Run, listener: Listener, series: Series | None = None) -> None:
    """Trains until the budget is spent. Ctrl-C ends the step, saves a checkpoint and raises KeyboardInterrupt.

    series: the snapshots to be made on the way; their time is not training time.

    Raises ModelError when the loss is no longer a number; the last checkpoint stays as it was.
    """
    config, at = run.config, run.at
    dtype = torch.bfloat16 if at.precision == "bf16" else None
    run.network.train()
    if config.backbone.kind == "pretrained":
        freeze_statistics(run.network.backbone)
    total = None if config.epochs is None else config.epochs * run.steps_per_epoch * run.batch
    meter = Meter(listener, "train", total)
    meter.done = at.pictures
    saved = time.monotonic()
    watch = _Watch(run)
    with TrainLog(run.folder, at.step, quiet=not run.ranks.first) as log, deferred_interrupt() as interrupted:
        while run.fraction() < 1.0:
            start = time.perf_counter()
            loss = step(run, dtype)
            if not math.isfinite(loss):
                raise ModelError(
                    f"the loss became {loss} at step {at.step} of {run.folder.parent}; the last checkpoint is from "
                    "before: start again with a lower rate (--set optimizer.rate=...) or --set precision=fp32"
                )
            at.step += 1
            at.pictures += run.batch
            at.seconds += time.perf_counter() - start
            (at.seconds,) = run.ranks.agree([at.seconds], run.device)
            watch.look()
            figures = {"loss": loss, "used": run.usage.share(), "perplexity": run.usage.perplexity()}
            left = None if config.minutes is None else max(0.0, 60 * config.minutes - at.seconds)
            meter.advance(run.batch, seconds_left=left, **figures)
            if series is not None and series.reached(run.fraction()):
                if run.ranks.first:
                    series.make(run.fraction())
                run.ranks.wait()
            log.write(run.at, run.at.step / run.steps_per_epoch, figures, run.terms)
            if run.ranks.any(interrupted(), run.device):
                run.save()
                raise KeyboardInterrupt
            if watch.healthy and time.monotonic() - saved > 60 * config.checkpoint_minutes:
                run.save()
                saved = time.monotonic()
    meter.close()
    run.save()


class _Watch:
    """Notices a collapse: every picture of a batch gets the same code, in several batches in a row."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._every = max(1, min(_LOOK_EVERY, run.steps_per_epoch // _LOOKS))
        self._seen = 0

    @property
    def healthy(self) -> bool:
        """Whether the last look found more than one code; a checkpoint is worth keeping only then."""
        return self._seen == 0

    def look(self) -> None:
        """Looks at every so-manieth batch. ModelError says what to try; the last checkpoint stays as it was."""
        at = self._run.at
        if at.step % self._every:
            return
        self._seen = self._seen + 1 if self._run.usage.collapsed() else 0
        if self._seen == _LOOKS:
            raise ModelError(
                f"training has collapsed at step {at.step} of {self._run.folder.parent}: all pictures get one and the "
                "same code. The last checkpoint is from before; start again with another --out and a lower rate "
                "(--set optimizer.rate=...), a smaller clip or a larger batch, or look whether the pictures differ"
            )

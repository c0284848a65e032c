"""The training loop. Device, precision and budget wrap the step and never fork it.

Data flow of a step: row numbers (a function of seed and step) → pictures uint8 → two views on the device → features (or
features from the cache of a frozen backbone) → x, z, p → the method's loss → gradients, clipped → optimizer → usage,
log, checkpoint.
"""

from __future__ import annotations

import math
import time

import torch
from torch import nn

from sightbook.errors import ModelError
from sightbook.interrupt import deferred_interrupt
from sightbook.learn.forward import features_loss, forward_loss
from sightbook.learn.log import TrainLog
from sightbook.learn.optimizers import schedule
from sightbook.learn.run import Run, pictures_of, places_of
from sightbook.learn.snapshots import Series
from sightbook.model.torch.freezing import freeze_statistics
from sightbook.progress import Listener, Meter

# A collapse is called one when so many looks in a row see it, within an epoch.
_LOOKS, _LOOK_EVERY = 3, 20


def step(run: Run, dtype: torch.dtype | None) -> float:
    """One optimizer step on the coming batch; returns the loss, and leaves its terms in `run.terms`.

    Random only through (seed, step) and the rank.
    """
    torch.manual_seed(run.config.seed * 1_000_003 + run.at.step + (run.ranks.rank << 40))
    if run.features is not None:
        features = run.features.pairs(places_of(run), run.config.seed, run.at.step, run.device)
        loss, p, terms = features_loss(run.network, features, run, run.recall())
    else:
        pictures = pictures_of(run)
        views = run.views_now()(pictures)
        local = None if run.local_views is None else run.local_views(pictures, run.config.views.local)
        loss, p, terms = forward_loss(
            run.network, views, run, dtype, remembered=run.recall(), local=local, ranks=run.ranks
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

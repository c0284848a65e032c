"""From views to the method's loss: backbone, head, quantizer, loss. Training and judging go the same way."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from sightbook.errors import ConfigError
from sightbook.learn.methods.batch import ViewBatch
from sightbook.learn.methods.loss import Terms, mean_of, terms_of, total
from sightbook.learn.precision import autocast
from sightbook.learn.ranks import ALONE, Ranks
from sightbook.learn.run import Run
from sightbook.learn.verdict import VIEW_SEED
from sightbook.model.torch.freezing import evaluating
from sightbook.model.torch.network import Network


def forward_loss(
    network: Network,
    views: Tensor,
    run: Run,
    dtype: torch.dtype | None,
    *,
    remembered: Tensor | None = None,
    local: Tensor | None = None,
    ranks: Ranks = ALONE,
) -> tuple[Tensor, Tensor, Terms]:
    """Two views (2B, 3, S, S) → (loss, p, terms). The backbone runs in `dtype` under autocast, the rest in float32.

    network: the run's own or a copy of it; local (L·B, 3, S, S): views of small parts. With several ranks the views are
    this rank's part, loss, p and terms those of the whole batch.
    """
    with autocast(views.device, dtype):
        parts = views.chunk(2) if run.config.views.apart else (views,)
        features = torch.cat([network.backbone(part) for part in parts]).float()
        small = None if local is None else network.backbone(local).float()
    return features_loss(network, ranks.gather(features), run, remembered, small)


def features_loss(
    network: Network,
    features: Tensor,
    run: Run,
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
    parts = [terms_of(batch.prefix(M), run.config) for M in run.config.prefixes]
    loss = torch.stack([total(part) for part in parts]).mean()
    if torch.is_grad_enabled() and not loss.requires_grad:
        raise ConfigError(
            f"the loss of method {run.config.method} depends on nothing that is trained: give a term a weight above 0"
        )
    return loss, p, mean_of(parts)


@torch.no_grad()
def held_out_loss(run: Run, network: Network) -> float | None:
    """The method's loss on two views of each of the pictures held out, in batches like those of training.

    The views are the same for every network. None when the pictures are too few for one batch of the method.
    """
    config, views, pictures = run.config, run.views, run.store.pixels[run.store.held_out]
    size = min(config.batch, len(pictures))
    small = views.local() if config.views.local else None
    losses = []
    try:
        with torch.random.fork_rng(devices=[]), evaluating(network):
            torch.manual_seed(VIEW_SEED)
            for start in range(0, len(pictures) - size + 1, size):
                chunk = torch.from_numpy(np.ascontiguousarray(pictures[start : start + size])).to(run.device)
                local = None if small is None else small(chunk, config.views.local)
                losses.append(float(forward_loss(network, views(chunk), run, None, local=local)[0]))
    except ConfigError:
        return None
    mean = sum(losses) / len(losses)
    return mean if math.isfinite(mean) else None

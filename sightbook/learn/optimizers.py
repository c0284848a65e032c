"""The optimizer of what is trainable, and its rate over the budget."""

from __future__ import annotations

import math

import torch
from torch import nn

from sightbook.errors import ConfigError
from sightbook.learn.muon import Muon
from sightbook.learn.settings.sections import OptimizerConfig
from sightbook.model.torch.network import Network

_MOMENTUM = 0.9  # of SGD, as MeCoQ and DCCQ have it


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

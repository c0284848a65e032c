"""Which part of a backbone is trained, and what is in training at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from sightbook.errors import ConfigError
from sightbook.model.torch.backbone import Backbone


def freeze(backbone: Backbone, part: str) -> None:
    """Leaves only `part` of the backbone to training: all, head (nothing of it), or last:N.

    last:N trains the last N blocks (transformer layers, or stages of a convolutional network) and what stands behind
    them, such as the final norm. ConfigError when there are no N blocks.
    """
    if part == "all":
        return
    backbone.requires_grad_(False)
    if part == "head":
        return
    count = int(part.removeprefix("last:"))
    parts = blocks(backbone.body)
    if count > len(parts):
        raise ConfigError(
            f"backbone.train {part}: this backbone has {len(parts)} blocks, give last:1 to last:{len(parts)}"
        )
    for block in parts[-count:]:
        block.requires_grad_(True)
    last = {id(parameter) for parameter in parts[-1].parameters()}
    behind = False
    for parameter in backbone.body.parameters():  # in the order of the layers
        if id(parameter) in last:
            behind = True
        elif behind:
            parameter.requires_grad_(True)


def blocks(body: nn.Module) -> list[nn.Module]:
    """The network's blocks in order: its list of modules that holds most of the weights; the outermost of equals."""
    lists: list[nn.ModuleList] = [module for module in body.modules() if isinstance(module, nn.ModuleList)]
    if not lists:
        return []
    sizes = [sum(parameter.numel() for parameter in found.parameters()) for found in lists]
    return list(lists[sizes.index(max(sizes))])


def freeze_statistics(backbone: Backbone) -> None:
    """Keeps batch norms in evaluation mode: their running statistics are worth more than those of a small batch."""
    for module in backbone.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """The network evaluates for a while; afterwards each module is in the mode it was in."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode

"""What a network takes from the collection without learning: the stem's first filters, the batch norms' statistics.

Both see pictures only, in numbers that do not depend on names or labels.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sightbook.learn.store import Store
from sightbook.learn.views import Views
from sightbook.model.network import Network

_PICTURES = 1024
_CHUNK = 128
_DAMPING = 1e-2  # added to the variance of a component: the weakest ones are mostly noise of the JPEG


def sample(store: Store, seed: int, device: torch.device) -> list[Tensor]:
    """Chunks (n, R, R, 3) uint8 of training pictures drawn by `seed`, about a thousand in all."""
    count = min(_PICTURES, len(store.train))
    # Places in `train`, which is in the order of the content's hashes; rows follow the names of the files.
    places = np.sort(np.random.default_rng((seed, 1)).choice(len(store.train), count, replace=False))
    pieces = np.array_split(store.train[places], max(1, count // _CHUNK))
    return [torch.from_numpy(np.ascontiguousarray(store.pixels[piece])).to(device) for piece in pieces]


@torch.no_grad()
def whiten_stem(network: Network, views: Views, chunks: list[Tensor]) -> bool:
    """Starts the first convolution from the principal components of the collection's own patches.

    Filter 2i is the i-th component divided by its standard deviation, filter 2i + 1 its negative (so that a ReLU loses
    nothing); they are trained like any other weight. False when the network does not begin with such a convolution.
    """
    stem = first_convolution(network)
    if stem is None:
        return False
    kernel = int(stem.kernel_size[0])
    patches = torch.cat([_patches(views.fixed(chunk).float(), kernel) for chunk in chunks])
    patches = patches - patches.mean(0)
    variance, components = torch.linalg.eigh(patches.T @ patches / len(patches))
    filters = (components / (variance + _DAMPING).sqrt()).flip(1).T
    half = filters.repeat(-(-stem.out_channels // (2 * len(filters))), 1)[: -(-stem.out_channels // 2)]
    both = torch.stack([half, -half], dim=1).flatten(0, 1)[: stem.out_channels]
    stem.weight.copy_(both.view_as(stem.weight))
    return True


def first_convolution(network: Network) -> nn.Conv2d | None:
    """The convolution that sees the three colours, where it is small enough for its patches to be whitened."""
    for module in network.backbone.modules():
        if isinstance(module, nn.Conv2d):
            small = module.in_channels == 3 and module.groups == 1 and module.kernel_size == (3, 3)
            return module if small else None
    return None


@torch.no_grad()
def recalibrate(network: Network, views: Views, chunks: list[Tensor], *, backbone: bool) -> None:
    """Measures the batch norms' mean and variance afresh on fixed views, which is what the encoder will see.

    Running averages lag behind after few steps and speak of random views. `backbone` False leaves those of a pretrained
    backbone as they are. The training mode of every module is as before afterwards.
    """
    part: nn.Module = network if backbone else network.head
    norms = [module for module in part.modules() if isinstance(module, _BatchNorm)]
    modes = {module: module.training for module in network.modules()}
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over all chunks
        norm.train()
    if norms:
        for chunk in chunks:
            if len(chunk) > 1:
                network(views.fixed(chunk))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    for module, mode in modes.items():
        module.training = mode


def _patches(pixels: Tensor, kernel: int) -> Tensor:
    """Every seventh kernel × kernel patch of (n, 3, S, S) as rows (·, 3 · kernel²)."""
    return F.unfold(pixels, kernel).transpose(1, 2).flatten(0, 1)[::7]

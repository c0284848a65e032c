"""What a network takes from the collection without learning: the stem's first filters, the batch norms' statistics, the
first codes of `quantizer: kmeans`.

All see pictures only, in numbers that do not depend on names or labels.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sightbook.codes.products import SEED, clusters, deal
from sightbook.learn.store import Store
from sightbook.learn.views import Views
from sightbook.model.torch.freezing import evaluating
from sightbook.model.torch.network import Network

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
    momenta = [norm.momentum for norm in norms]
    with evaluating(network):
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


@torch.no_grad()
def start_codes(network: Network, features: Tensor) -> None:
    """Starts head and codewords from the features (n, F) of views: what product quantization would make of them.

    The head turns a feature vector of length 1, less the mean one, to principal components: with 16 codewords to all D
    of them, dealt to the M sub-vectors so that each gets a like share of the variance (in the logarithm, as OPQ's
    parametric start does, Ge and others 2013), since few clusters tell apart by what is left out elsewhere; with 256 to
    the first d of a random half of the features for each sub-vector, since many clusters each see what a picture shows,
    and agree on it. The codewords are the k-means clusters of each sub-vector. D above F leaves the rest at zero.
    """
    head, quantizer = network.head, network.quantizer
    unit = F.normalize(features.float().cpu(), dim=1).double()  # some devices have no float64
    mean = unit.mean(0)
    centred = unit - mean
    covariance = centred.T @ centred / len(centred)
    make = _of_halves if quantizer.C.shape[1] == 256 else _of_all
    weights = make(covariance, head.M, head.D // head.M)
    x = centred @ weights.T
    scale = (x.square().sum(1).mean() / head.M).sqrt().clamp(min=1e-12)  # sub-vectors of length 1 in the mean
    head.project.weight.copy_(weights / scale)
    head.project.bias.copy_(-(weights @ mean) / scale)
    rows = (x / scale).float().numpy()
    quantizer.C.copy_(torch.from_numpy(clusters(rows, head.M, quantizer.C.shape[1])))


def _components(covariance: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """(variances descending, components (F, count)) of the first principal components."""
    variance, components = torch.linalg.eigh(covariance)
    count = min(count, len(variance))
    components = components.flip(1)[:, :count]
    # The sign of a component is arbitrary: its largest number is made positive.
    components = components * components.gather(0, components.abs().argmax(0, keepdim=True)).sign()
    return variance.flip(0)[:count], components


def _of_all(covariance: Tensor, M: int, d: int) -> Tensor:
    """Weights (M·d, F): the principal components of all features, dealt to the parts."""
    variance, components = _components(covariance, M * d)
    places = deal(variance.clamp(min=0).tolist(), M, d)
    weights = covariance.new_zeros(M * d, len(covariance))
    weights[places] = components.T
    return weights


def _of_halves(covariance: Tensor, M: int, d: int) -> Tensor:
    """Weights (M·d, F): for each part the first components of a random half of the features; two parts share no
    feature, so that the shortest code misses none."""
    random = np.random.default_rng(SEED)
    weights = covariance.new_zeros(M * d, len(covariance))
    for m in range(M):
        if m % 2 == 0:
            order = random.permutation(len(covariance))
            halves = [np.sort(half) for half in np.array_split(order, 2)]
        half = torch.from_numpy(halves[m % 2])
        _, components = _components(covariance[half][:, half], d)
        weights[m * d : m * d + components.shape[1], half] = components.T
    return weights


def _patches(pixels: Tensor, kernel: int) -> Tensor:
    """Every seventh kernel × kernel patch of (n, 3, S, S) as rows (·, 3 · kernel²)."""
    return F.unfold(pixels, kernel).transpose(1, 2).flatten(0, 1)[::7]

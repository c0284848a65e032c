"""ResNet of basic blocks (He and others, arXiv 1512.03385) with a stem for small pictures, learned from scratch.

Data flow: pixels (B, 3, S, S) → stem of stride 1, 2 or 4 → stages, each but the first halving the sides → a map (B, F,
H, W). The usual stem, 7 × 7 and pooled, would leave 8 × 8 of a picture of 32 pixels; this one is of 3 × 3 filters.

Modules are called as in transformers, whose ResNet earlier versions took: weights of all versions fit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class Layer(nn.Module):
    """A convolution and its norm; with `relu` nothing below zero leaves it."""

    def __init__(self, convolution: nn.Module, outputs: int, *, relu: bool = True) -> None:
        super().__init__()
        self.convolution, self.relu = convolution, relu
        self.normalization = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.normalization(self.convolution(x))
        return F.relu(x) if self.relu else x


class Block(nn.Module):
    """Two layers of 3 × 3 filters beside a shortcut: the input itself, or brought to the output's shape by 1 × 1."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        same = inputs == outputs and stride == 1
        self.shortcut = (
            nn.Identity() if same else Layer(_filters(inputs, outputs, stride, side=1), outputs, relu=False)
        )
        self.layer = nn.Sequential(
            Layer(_filters(inputs, outputs, stride), outputs),
            Layer(_filters(outputs, outputs, 1), outputs, relu=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        y += self.shortcut(x)
        return F.relu(y)


class ResNet(nn.Module):
    """The whole network. Filters are drawn after He and others (arXiv 1502.01852), by the number of outputs."""

    def __init__(
        self, stem_width: int, stem_stride: int, widths: Sequence[int], depths: Sequence[int]
    ) -> None:
        super().__init__()
        # Earlier versions took transformers' network, which drew each filter twice, and replaced its stem: a seed is to
        # go on giving the weights that it gave.
        replaced = nn.Conv2d(3, stem_width, 7, bias=False)
        stages, inputs = nn.Sequential(), stem_width
        for place, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            first = Block(inputs, width, 1 if place == 0 else 2)
            rest = [Block(width, width, 1) for _ in range(depth - 1)]
            stages.append(_name("layers", nn.Sequential(first, *rest)))
            inputs = width
        _draw(replaced, times=2)
        _draw(stages, times=2)
        stem = _stem(stem_width, stem_stride)
        _draw(stem)
        self.embedder, self.encoder = _name("embedder", Layer(stem, stem_width)), _name("stages", stages)

    def forward(self, pixels: Tensor) -> Tensor:
        hidden: Tensor = self.encoder(self.embedder(pixels))
        return hidden


def _name(name: str, part: nn.Module) -> nn.Sequential:
    """The part by itself, under a name."""
    return nn.Sequential(OrderedDict({name: part}))


def _filters(inputs: int, outputs: int, stride: int, side: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False)


def _stem(width: int, stride: int) -> nn.Module:
    """Filters of the stem; stride 4 is two convolutions of stride 2."""
    if stride < 4:
        return _filters(3, width, stride)
    return nn.Sequential(_filters(3, width, 2), nn.BatchNorm2d(width), nn.ReLU(), _filters(width, width, 2))


def _draw(part: nn.Module, times: int = 1) -> None:
    """Draws the filters of a part anew, in its modules' order."""
    for module in part.modules():
        if isinstance(module, nn.Conv2d):
            for _ in range(times):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

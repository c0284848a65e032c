"""How a network's weights lie in memory."""

from __future__ import annotations

import torch
from torch import nn

_CRASHES_BELOW = 16  # channels


class _Thinned(nn.Conv2d):
    """A 1×1 convolution of some stride as one of stride 1 over every such pixel: the same sums, the same parameters.

    torch 2.13 writes beyond its memory in the backward pass of the former on a CPU, with fewer than 16 channels and
    channels last, on pictures of 64 pixels or more (docs/log.md).
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        down, right = self.stride
        return nn.functional.conv2d(input[:, :, ::down, ::right], self.weight, self.bias)


def channels_last(module: nn.Module) -> nn.Module:
    """Convolutions run faster on this layout, on CPU and GPU alike; other layers do not care."""
    for each in module.modules():
        if (
            type(each) is nn.Conv2d
            and each.kernel_size == (1, 1)
            and max(each.stride) > 1
            and each.padding == (0, 0)
            and each.groups == 1
            and each.in_channels < _CRASHES_BELOW
        ):
            each.__class__ = _Thinned
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

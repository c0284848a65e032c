"""Networks of few channels on pictures of 64 pixels and more: torch 2.13 killed its process in the backward pass."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from sightbook.model.networks import BackboneConfig
from sightbook.model.torch.backbone import build, spec_of
from sightbook.model.torch.layout import channels_last

# Of a convolution as it is, each of these shapes ends the process.
_PROGRAM = """
import torch
from torch import nn
from sightbook.model.torch.layout import channels_last
torch.set_num_threads(1)
for channels, out, side in ((8, 16, 72), (4, 8, 64), (15, 32, 72)):
    layer = channels_last(nn.Sequential(nn.Conv2d(channels, out, 1, stride=2, bias=False)))
    for _ in range(20):
        x = torch.rand(8, channels, side, side).contiguous(memory_format=torch.channels_last).requires_grad_()
        y = layer(x)
        y.backward(torch.rand_like(y))
print("alive")
"""


def test_the_backward_pass_of_few_channels_leaves_its_process_alive() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "MALLOC_PERTURB_": "165"},
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, "alive"), done.stderr[-2000:]


def test_a_resnet_of_few_channels_has_its_short_cuts_guarded() -> None:
    config = BackboneConfig(kind="resnet", stem_width=16, stem_stride=1, widths=(8, 16), depths=(1, 1))
    network = channels_last(build(spec_of(config, 72)))
    strided = [
        each for each in network.modules() if isinstance(each, nn.Conv2d) and each.kernel_size == (1, 1)
    ]
    assert [
        type(each) is nn.Conv2d for each in strided if each.in_channels < 16 and each.stride != (1, 1)
    ] == [False]


@pytest.mark.parametrize(
    ("channels", "thinned"), [(3, True), (8, True), (15, True), (16, False), (64, False)]
)
def test_only_what_crashes_is_computed_otherwise_and_gives_the_same(channels: int, thinned: bool) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(channels, 6, 1, stride=2), nn.Conv2d(6, 4, 1), nn.Conv2d(4, 5, 3, stride=2)
    )
    x = torch.rand(2, channels, 9, 12)
    before, names = plain(x), list(plain.state_dict())
    changed = channels_last(plain)
    torch.testing.assert_close(changed(x), before)
    assert list(changed.state_dict()) == names
    assert [type(each) is not nn.Conv2d for each in changed] == [thinned, False, False]  # type: ignore[attr-defined]

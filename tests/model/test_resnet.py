"""Our ResNet: the numbers of transformers' with a stem of our own, and the weights that a seed always gave."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sightbook.model.networks import BackboneConfig
from sightbook.model.torch.backbone import build, spec_of
from sightbook.model.torch.resnet import ResNet

WIDTHS, DEPTHS = (8, 16, 24), (1, 2, 1)
# The first number of each convolution, from the commit before transformers' network went.
KEPT = {
    "body.embedder.embedder.convolution.weight": -0.160914853,
    "body.encoder.stages.0.layers.0.layer.0.convolution.weight": -0.224088371,
    "body.encoder.stages.0.layers.0.layer.1.convolution.weight": -0.009692308,
    "body.encoder.stages.1.layers.0.shortcut.convolution.weight": -0.191557512,
    "body.encoder.stages.1.layers.0.layer.0.convolution.weight": -0.092422873,
    "body.encoder.stages.1.layers.0.layer.1.convolution.weight": -0.166580811,
    "body.encoder.stages.1.layers.1.layer.0.convolution.weight": -0.092011161,
    "body.encoder.stages.1.layers.1.layer.1.convolution.weight": -0.046860490,
    "body.encoder.stages.2.layers.0.shortcut.convolution.weight": 0.736407280,
    "body.encoder.stages.2.layers.0.layer.0.convolution.weight": 0.070189208,
    "body.encoder.stages.2.layers.0.layer.1.convolution.weight": 0.047313791,
}


def theirs(stem_stride: int) -> Any:
    """transformers' network, its stem replaced as earlier versions of this program replaced it."""
    import transformers

    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=list(WIDTHS), depths=list(DEPTHS), layer_type="basic"
    )
    made = transformers.AutoModel.from_config(config)

    def filters(inputs: int, stride: int) -> nn.Conv2d:
        return nn.Conv2d(inputs, 8, 3, stride, 1, bias=False)

    stem = filters(3, stem_stride) if stem_stride < 4 else None
    made.embedder.embedder.convolution = stem or nn.Sequential(
        filters(3, 2), nn.BatchNorm2d(8), nn.ReLU(), filters(8, 2)
    )
    made.embedder.pooler = nn.Identity()
    return made


@pytest.mark.parametrize("stem_stride", [1, 2, 4])
def test_the_same_weights_give_the_same_numbers_and_gradients_as_in_transformers(stem_stride: int) -> None:
    torch.manual_seed(1)
    ours, other = ResNet(8, stem_stride, WIDTHS, DEPTHS), theirs(stem_stride)
    assert list(ours.state_dict()) == list(other.state_dict()), "weights of earlier models fit as they are"
    other.load_state_dict(ours.state_dict())
    pixels = torch.randn(4, 3, 32, 32)
    for training in (True, False):  # while training the norms' statistics move, too
        hidden: list[Tensor] = []
        for network in (ours, other):
            network.train(training).zero_grad()
            out = network(pixels)
            hidden.append(out if isinstance(out, Tensor) else out.last_hidden_state)
            hidden[-1].square().sum().backward()
        assert hidden[0].shape == (4, 24, 8 // stem_stride, 8 // stem_stride)
        assert float((hidden[0] - hidden[1]).detach().abs().max()) == 0
        for (name, ours_), their_ in zip(ours.named_parameters(), other.parameters(), strict=True):
            assert ours_.grad is not None and torch.equal(ours_.grad, their_.grad), name
    for name, value in ours.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_a_seed_gives_the_weights_that_it_gave_when_transformers_made_the_network() -> None:
    torch.manual_seed(7)
    made = build(spec_of(BackboneConfig(widths=WIDTHS, depths=DEPTHS, stem_width=8), 32))
    found = {
        name: float(value.detach().flatten()[0]) for name, value in made.named_parameters() if value.ndim == 4
    }
    assert found == pytest.approx(KEPT, abs=1e-7)
    assert made.features == 24

from __future__ import annotations

import numpy as np
import pytest
import torch

from sightbook.codes.tables import assign
from sightbook.model.torch.head import Head
from sightbook.model.torch.quantizer import Quantizer
from tests import reference

M, K, d, ALPHA = 3, 16, 4, 10.0


def embeddings(count: int) -> torch.Tensor:
    x = torch.randn(count, M, d, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.normalize(x, dim=2).flatten(1)


def quantizer(frozen: bool = False) -> Quantizer:
    torch.manual_seed(2)
    made = Quantizer(M, K, d, ALPHA, frozen=frozen).double()
    with torch.no_grad():
        made.C.mul_(torch.rand(M, K, 1, dtype=torch.float64) + 0.5)  # training leaves them at any length
    return made


@pytest.mark.parametrize("frozen", [False, True])
def test_soft_quantization_is_its_slow_loop(frozen: bool) -> None:
    x, layer = embeddings(9), quantizer(frozen)
    z, p = layer(x)
    assert (z.shape, p.shape) == ((9, M * d), (9, M, K))
    for row in range(9):
        slow_z, slow_p, nearest = reference.soft_quantize(x[row].tolist(), layer.C.tolist(), ALPHA)
        np.testing.assert_allclose(z[row].detach().numpy(), slow_z, rtol=0, atol=1e-12)
        np.testing.assert_allclose(p[row].detach().numpy(), slow_p, rtol=0, atol=1e-12)
        assert p[row].argmax(1).tolist() == nearest


def test_codes_are_the_codewords_with_the_largest_share() -> None:
    x, layer = embeddings(200), quantizer()
    _, p = layer(x)
    codebooks = layer.codewords().detach().float().numpy()
    np.testing.assert_array_equal(assign(x.float().numpy(), codebooks), p.argmax(2).numpy())


def test_codewords_have_length_one() -> None:
    lengths = quantizer().codewords().norm(dim=2)
    torch.testing.assert_close(lengths, torch.ones(M, K, dtype=torch.float64), rtol=0, atol=1e-14)


def test_gradients_are_those_of_finite_differences() -> None:
    x = embeddings(2).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: quantizer()(v)[0], x)


def test_frozen_codewords_are_no_parameters() -> None:
    assert [name for name, _ in quantizer(frozen=True).named_parameters()] == []
    assert [name for name, _ in quantizer().named_parameters()] == ["C"]
    assert set(quantizer(frozen=True).state_dict()) == set(quantizer().state_dict()) == {"C"}


def test_the_head_gives_sub_vectors_of_length_one() -> None:
    torch.manual_seed(0)
    head = Head(10, M, M * d)
    features = torch.randn(6, 10)
    x = head(features)
    projected = features @ head.project.weight.T
    variance = projected.var(0, correction=0)
    standardized = ((projected - projected.mean(0)) / (variance + 1e-5).sqrt()).reshape(6, M, d)
    torch.testing.assert_close(x, (standardized / standardized.norm(dim=2, keepdim=True)).flatten(1))
    torch.testing.assert_close(x.reshape(6, M, d).norm(dim=2), torch.ones(6, M))

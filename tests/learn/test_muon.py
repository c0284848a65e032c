"""Steps of matrices are orthogonal and as large as the rate says; everything else follows AdamW itself."""

from __future__ import annotations

import pytest
import torch

from sightbook.learn.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(8, 8), (8, 40), (40, 8), (1, 5)])
def test_singular_values_come_near_one_and_directions_stay(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = orthogonal(matrix).double()
    assert 0.4 < float(torch.linalg.svdvals(found).min()) <= float(torch.linalg.svdvals(found).max()) < 1.3
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    inside = left.T @ found @ right.T
    torch.testing.assert_close(inside, torch.diag(inside.diagonal()), atol=1e-5, rtol=0)
    assert bool((inside.diagonal() > 0).all())


def test_a_matrix_of_zeros_stays_one() -> None:
    assert bool((orthogonal(torch.zeros(3, 4)) == 0).all())


def test_a_step_of_a_convolution_is_as_large_as_the_rate_says_whatever_its_gradient_is() -> None:
    sizes = []
    for factor in (1e-3, 1e3):
        weight = torch.nn.Parameter(torch.zeros(32, 16, 3, 3))
        optimizer = Muon([{"params": [weight], "lr": 0.01, "weight_decay": 0.0, "matrices": True}])
        weight.grad = factor * torch.randn(weight.shape, generator=torch.Generator().manual_seed(2))
        optimizer.step()
        sizes.append(float(weight.detach().square().mean().sqrt()))
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-3)
    assert sizes[0] == pytest.approx(20 * 0.01 / 144**0.5, rel=0.25)


def test_what_is_no_matrix_follows_adamw() -> None:
    def moved(make: type[torch.optim.Optimizer], **more: object) -> torch.Tensor:
        row = torch.nn.Parameter(torch.ones(7))
        other = torch.nn.Parameter(torch.ones(4, 4))
        groups = [{"params": [row], "lr": 0.1, "weight_decay": 0.01, "matrices": False}]
        if make is Muon:
            groups.append({"params": [other], "lr": 0.1, "weight_decay": 0.01, "matrices": True})
        optimizer = make(groups, **more)
        for step in range(4):
            row.grad, other.grad = torch.linspace(-1, 1, 7) * (step + 1), torch.ones(4, 4)
            optimizer.step()
        return row.detach()

    torch.testing.assert_close(moved(Muon), moved(torch.optim.AdamW, fused=True), rtol=0, atol=0)


def test_its_state_goes_on_where_it_was() -> None:
    def run(
        rest: int, state: dict[str, object] | None, start: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, object]]:
        weight = torch.nn.Parameter(start.clone())
        optimizer = Muon([{"params": [weight], "lr": 0.1, "weight_decay": 0.1, "matrices": True}])
        if state is not None:
            optimizer.load_state_dict(state)
        for _ in range(rest):
            weight.grad = weight.detach() ** 2 - 0.5
            optimizer.step()
        return weight.detach(), optimizer.state_dict()

    begin = torch.linspace(-1, 1, 24).view(4, 6)
    whole, _ = run(5, None, begin)
    part, state = run(3, None, begin)
    assert torch.equal(run(2, state, part)[0], whole)

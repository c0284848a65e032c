from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sightbook.config import build
from sightbook.errors import ConfigError
from sightbook.learn.losses import contrast
from sightbook.learn.methods import METHODS
from sightbook.learn.methods.batch import ViewBatch
from tests import reference

B, D = 7, 12


def rows(dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(2 * B, D, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def nt_xent(views: Tensor, tau: float) -> Tensor:
    """SimCLR's loss as everybody writes it, without a word about clipping."""
    unit = F.normalize(views, dim=1)
    logits = unit @ unit.T / tau
    logits.fill_diagonal_(-torch.inf)
    partner = torch.arange(len(views)).roll(len(views) // 2)
    return (torch.logsumexp(logits, dim=1) - logits[torch.arange(len(views)), partner]).mean()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("tau", [0.07, 0.3, 1.0])
def test_clip_zero_is_ntxent_to_the_last_bit(dtype: torch.dtype, tau: float) -> None:
    for seed in range(5):
        views = rows(dtype, seed)
        assert torch.equal(contrast(views, tau, clip=0), nt_xent(views, tau))


def test_clip_zero_has_the_gradient_of_cross_entropy() -> None:
    ours, theirs = rows().requires_grad_(), rows().requires_grad_()
    contrast(ours, 0.3, clip=0).backward()
    unit = F.normalize(theirs, dim=1)
    logits = (unit @ unit.T / 0.3).masked_fill(torch.eye(2 * B, dtype=torch.bool), -torch.inf)
    F.cross_entropy(logits, torch.arange(2 * B).roll(B)).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-14)


@pytest.mark.parametrize("tau", [0.07, 0.3])
def test_clip_zero_is_its_slow_loop(tau: float) -> None:
    expected = reference.clipped_contrastive(rows().tolist(), tau, 0)
    assert float(contrast(rows(), tau, clip=0)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("clip", [1, 2, 5, 2 * B - 3])
def test_a_clipped_loss_is_its_slow_loop(clip: int) -> None:
    expected = reference.clipped_contrastive(rows().tolist(), 0.3, clip)
    assert float(contrast(rows(), 0.3, clip=clip)) == pytest.approx(expected, abs=1e-6)
    assert float(contrast(rows(), 0.3, clip=clip)) < float(contrast(rows(), 0.3, clip=clip - 1))


@pytest.mark.parametrize("clip", [0, 1, 2, 3, 4, 9])
def test_equal_similarities_are_clipped_as_in_the_slow_loop(clip: int) -> None:
    views = rows()
    views[3], views[B + 1], views[5] = views[2], views[2], 4 * views[0]  # cosine 1 across pictures, too
    expected = reference.clipped_contrastive(views.tolist(), 0.3, clip)
    assert float(contrast(views, 0.3, clip=clip)) == pytest.approx(expected, abs=1e-6)


def test_the_positive_is_never_clipped() -> None:
    views = rows()
    views[B:] = views[:B]  # the positive is the most similar row of all
    only_negative = reference.clipped_contrastive(views.tolist(), 0.3, 2 * B - 3)
    assert float(contrast(views, 0.3, clip=2 * B - 3)) == pytest.approx(only_negative, abs=1e-12)
    assert only_negative > 0


def test_a_case_by_hand() -> None:
    # Two pictures with views e1, e2 | e1, e2: s+ = 1, both negatives 0. Clipping one leaves e / (e + 1).
    views = torch.eye(2, dtype=torch.float64).repeat(2, 1)
    assert float(contrast(views, 1.0, clip=0)) == pytest.approx(-math.log(math.e / (math.e + 2)), abs=1e-15)
    assert float(contrast(views, 1.0, clip=1)) == pytest.approx(-math.log(math.e / (math.e + 1)), abs=1e-15)


@pytest.mark.parametrize("clip", [0, 3])
def test_gradients_are_those_of_finite_differences(clip: int) -> None:
    assert torch.autograd.gradcheck(lambda v: contrast(v, 0.3, clip=clip), rows()[:10].requires_grad_())


def test_what_is_clipped_pushes_nothing() -> None:
    clip = 3
    ours, slow = rows().requires_grad_(), rows().requires_grad_()
    contrast(ours, 0.3, clip=clip).backward()
    terms = []
    for a in range(2 * B):
        partner = (a + B) % (2 * B)
        similar = F.cosine_similarity(slow[a : a + 1], slow) / 0.3
        ranked = similar.detach().tolist()
        negatives = sorted((n for n in range(2 * B) if n not in (a, partner)), key=lambda n: -ranked[n])
        terms.append(torch.logsumexp(similar[[partner, *negatives[clip:]]], 0) - similar[partner])
    torch.stack(terms).mean().backward()
    torch.testing.assert_close(ours.grad, slow.grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize("clip", [2 * B - 2, 2 * B, -1])
def test_a_clip_that_leaves_no_negative_is_an_error(clip: int) -> None:
    with pytest.raises(ValueError, match=f"clip {clip} leaves none of the 12 negatives"):
        contrast(rows(), 0.3, clip=clip)


@pytest.mark.parametrize(
    ("clip", "batch", "count"),
    [
        (0, 8, 0),
        (0.0, 8, 0),
        (3, 8, 3),
        (0.25, 8, 3),
        (0.5, 8, 7),
        (0.99, 256, 504),
        (13, 8, 13),
        (0.999, 8, 13),
    ],
)
def test_a_fraction_is_rounded_down_to_a_count(clip: int | float, batch: int, count: int) -> None:
    config = build([{"epochs": 1, "clip": clip}])
    assert config.clipped(batch) == count  # of 2 · batch - 2 negatives


@pytest.mark.parametrize(("clip", "batch"), [(14, 8), (500, 8), (2, 2)])
def test_a_configured_clip_that_leaves_no_negatives_is_said(clip: int, batch: int) -> None:
    with pytest.raises(ConfigError, match=f"clip {clip} leaves no negatives in a batch of {batch} pictures"):
        build([{"epochs": 1, "clip": clip}]).clipped(batch)


@pytest.mark.parametrize("clip", [0, 2, 0.25])
def test_the_method_contrasts_the_quantized_views_with_the_configured_clip_and_tau(clip: int | float) -> None:
    config = build([{"epochs": 1, "clip": clip, "tau": 0.21}])
    x, z = rows(seed=1), rows(seed=2)
    loss = METHODS["transclippedclr"](ViewBatch(x, z, torch.zeros(2 * B, 1, 1)), config)
    expected = reference.clipped_contrastive(z.tolist(), 0.21, {0: 0, 2: 2, 0.25: 3}[clip])
    assert float(loss) == pytest.approx(expected, abs=1e-12)

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sightbook.errors import ConfigError
from sightbook.learn.losses import (
    codeword_similarity,
    codeword_usage,
    contrast,
    cross_contrast,
    part_neighbours,
    relation,
    soft_code_entropy,
    view_consistency,
)
from sightbook.learn.methods.batch import ViewBatch
from sightbook.learn.methods.loss import terms_of, total
from sightbook.learn.settings.config import build
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
    nothing = torch.zeros(2 * B, 1, 1)
    loss = total(terms_of(ViewBatch(nothing, x, z, nothing, nothing), config))
    expected = reference.clipped_contrastive(z.tolist(), 0.21, {0: 0, 2: 2, 0.25: 3}[clip])
    assert float(loss) == pytest.approx(expected, abs=1e-12)


M, K = 3, 4


def extra(count: int = 5) -> Tensor:
    return torch.randn(count, D, dtype=torch.float64, generator=torch.Generator().manual_seed(9))


def codebooks() -> Tensor:
    return torch.randn(M, K, D // M, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def assignments() -> Tensor:
    logits = torch.randn(2 * B, M, K, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    return (4 * logits).softmax(2)


@pytest.mark.parametrize("clip", [0, 2])
@pytest.mark.parametrize("rho", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("tau", [0.07, 0.5])
def test_the_debiased_contrast_is_its_slow_loop(tau: float, rho: float, clip: int) -> None:
    for further in (None, extra()):
        expected = reference.debiased_contrast(
            rows().tolist(), tau, clip, rho, [] if further is None else further.tolist()
        )
        found = contrast(rows(), tau, clip=clip, rho=rho, extra=further)
        assert float(found) == pytest.approx(expected, abs=1e-9)


def test_the_floor_of_the_debiased_contrast_is_reached_and_held() -> None:
    views = rows()
    views[B:] = views[:B]  # positives of cosine 1: so much is taken off that less than nothing would remain
    expected = reference.debiased_contrast(views.tolist(), 0.2, 0, 0.5)
    assert expected == pytest.approx(math.log(1 + 12 * math.exp(-2 / 0.2)), rel=1e-6)
    assert float(contrast(views, 0.2, rho=0.5)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("clip", [0, 3])
def test_rho_zero_is_the_plain_contrast_with_and_without_further_negatives(clip: int) -> None:
    for further in (None, extra()):
        listed = [] if further is None else further.tolist()
        expected = reference.debiased_contrast(rows().tolist(), 0.2, clip, 0.0, listed)
        assert float(contrast(rows(), 0.2, clip=clip, extra=further)) == pytest.approx(expected, abs=1e-9)
        nearly = contrast(rows(), 0.2, clip=clip, rho=1e-12, extra=further)  # through the debiased branch
        assert float(nearly) == pytest.approx(expected, abs=1e-9)


def test_a_small_temperature_does_not_overflow() -> None:
    found = contrast(rows(torch.float32), 0.01, rho=0.1)
    expected = reference.debiased_contrast(rows(torch.float32).tolist(), 0.01, 0, 0.1)
    assert float(found) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("rho", [-0.1, 1.0])
def test_a_share_of_false_negatives_outside_0_to_1_is_an_error(rho: float) -> None:
    with pytest.raises(ValueError, match="rho"):
        contrast(rows(), 0.3, rho=rho)


@pytest.mark.parametrize("clip", [0, 4])
def test_the_cross_contrast_is_its_slow_loop(clip: int) -> None:
    x, z = rows(seed=1), rows(seed=2)
    expected = reference.cross_contrast(x.tolist(), z.tolist(), 0.5, clip)
    assert float(cross_contrast(x, z, 0.5, clip=clip)) == pytest.approx(expected, abs=1e-9)


def test_the_cross_contrast_never_compares_a_view_with_its_own_code() -> None:
    x, z = rows(seed=1).requires_grad_(), rows(seed=2)
    cross_contrast(x, z, 0.5).backward()
    before = x.grad[0].clone()
    x.grad = None
    changed = z.clone()
    changed[0] = -5.0  # the code of the same view as x[0]
    cross_contrast(x, changed, 0.5).backward()
    torch.testing.assert_close(x.grad[0], before, rtol=0, atol=1e-15)
    assert not torch.allclose(x.grad[B], torch.zeros(D, dtype=torch.float64))


def test_terms_are_their_slow_loops() -> None:
    x, z, p, C = rows(seed=1), rows(seed=2), assignments(), codebooks()
    pairs = [
        (soft_code_entropy(p), reference.soft_code_entropy(p.tolist())),
        (codeword_similarity(C), reference.codeword_similarity(C.tolist())),
        (part_neighbours(z, M, 0.5, 4), reference.part_neighbours(z.tolist(), M, 0.5, 4)),
        (codeword_usage(x, C), reference.codeword_usage(x.tolist(), C.tolist())),
        (view_consistency(x + z, 0.2), reference.view_consistency((x + z).tolist(), 0.2)),
    ]
    for found, expected in pairs:
        assert float(found) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("partner", [False, True])
def test_a_relation_is_its_slow_loop_and_so_is_its_gradient(partner: bool) -> None:
    r, teacher = rows(seed=1).requires_grad_(), rows(seed=2).requires_grad_()
    loss = relation(r, teacher, 0.1, 0.04, partner=partner)
    loss.backward()
    told, fixed = teacher.tolist(), r.detach().tolist()
    assert float(loss.detach()) == pytest.approx(
        reference.relation(fixed, fixed, told, 0.1, 0.04, partner=partner), abs=1e-9
    )
    assert teacher.grad is None, "a teacher does not learn"
    for a, column in ((0, 1), (B + 1, 3)):  # what a row looks at stays where it is
        values = []
        for shift in (1e-6, -1e-6):
            moved = [list(row) for row in fixed]
            moved[a][column] += shift
            values.append(reference.relation(moved, fixed, told, 0.1, 0.04, partner=partner))
        assert float(r.grad[a, column]) == pytest.approx((values[0] - values[1]) / 2e-6, abs=1e-6)


def test_a_teacher_sees_its_own_view_or_that_of_the_partner() -> None:
    r, teacher = rows(seed=1), rows(seed=2)
    own = relation(r, teacher, 0.1, 0.04, partner=False)
    assert float(own) != pytest.approx(float(relation(r, teacher, 0.1, 0.04, partner=True)))
    alike = torch.cat([teacher[:B], teacher[:B]])
    torch.testing.assert_close(
        relation(r, alike, 0.1, 0.04, partner=True), relation(r, alike, 0.1, 0.04, partner=False)
    )


def test_part_neighbours_of_fewer_rows_than_asked_for_cost_nothing() -> None:
    assert float(part_neighbours(rows(), M, 0.5, 20)) == pytest.approx(0.0, abs=1e-12)


def test_views_that_see_the_others_alike_are_consistent() -> None:
    views = rows()
    views[B:] = views[:B]
    assert float(view_consistency(views, 0.2)) == pytest.approx(0.0, abs=1e-12)


def test_even_use_of_the_codewords_is_the_least_of_the_usage_term() -> None:
    least = -math.log(K)
    apart = torch.eye(K, dtype=torch.float64)[None]
    assert float(codeword_usage(apart[0], apart)) == pytest.approx(least, abs=1e-12)
    assert float(codeword_usage(apart[0, :1].repeat(9, 1), apart)) > least + 0.05


def test_the_entropy_of_assignments_that_underflow_has_a_gradient() -> None:
    logits = torch.tensor([[[0.0, -2000.0, -3.0]]], requires_grad=True)
    soft_code_entropy(logits.softmax(2)).backward()
    assert logits.grad.isfinite().all()


LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "debiased": lambda v: contrast(v, 0.3, rho=0.1),
    "further negatives": lambda v: contrast(v, 0.3, clip=2, extra=extra()),
    "gradient of the further ones": lambda v: contrast(rows()[:6], 0.3, extra=v),
    "cross": lambda v: cross_contrast(v, 2 * v.roll(1, 1), 0.5, clip=1),
    "entropy": lambda v: soft_code_entropy(v.reshape(len(v), M, K).softmax(2)),
    "similarity": lambda v: codeword_similarity(v.reshape(len(v), 3, 4)),
    "neighbours": lambda v: part_neighbours(v, M, 0.5, 3),
    "usage": lambda v: codeword_usage(v, codebooks()) + codeword_usage(rows(), v[:3].reshape(M, 3, 4)),
    "consistency": lambda v: view_consistency(v, 0.2),
}


@pytest.mark.parametrize("name", list(LOSSES))
def test_every_loss_has_the_gradient_of_finite_differences(name: str) -> None:
    assert torch.autograd.gradcheck(LOSSES[name], rows()[:8].clone().requires_grad_())

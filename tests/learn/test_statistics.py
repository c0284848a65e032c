"""What a network takes from the collection before and after learning."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sightbook.learn import statistics
from sightbook.learn.settings.sections import ViewsConfig
from sightbook.learn.store import Store
from sightbook.learn.views import Views
from sightbook.model.networks import BackboneConfig
from sightbook.model.torch.backbone import build, spec_of
from sightbook.model.torch.network import Network, Shape, assemble

SIZE = 16


def network(kind: str = "resnet", stride: int = 1) -> Network:
    torch.manual_seed(0)
    numbers = {
        "stem_width": 60,
        "stem_stride": stride,
        "widths": (8, 16),
        "depths": (1, 1),
        "width": 16,
        "depth": 1,
    }
    backbone = build(spec_of(BackboneConfig.model_validate({"kind": kind, **numbers, "heads": 2}), SIZE))
    return assemble(backbone, 4, 16, 32, Shape(alpha=10.0))


def chunks(count: int = 96) -> list[torch.Tensor]:
    """Smooth random pictures: neighbouring pixels are correlated, as in photographs."""
    random = np.random.default_rng(3)
    coarse = torch.from_numpy(random.uniform(0, 255, (count, 3, 5, 5)).astype(np.float32))
    smooth = F.interpolate(coarse, size=(SIZE, SIZE), mode="bicubic").clamp(0, 255)
    return list(smooth.permute(0, 2, 3, 1).to(torch.uint8).split(32))


@pytest.fixture
def views() -> Views:
    return Views(ViewsConfig(), SIZE, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_whitened_filters_answer_with_uncorrelated_outputs_in_opposite_pairs(views: Views) -> None:
    net, pictures = network(), chunks()
    assert statistics.whiten_stem(net, views, pictures)
    weight = statistics.first_convolution(net).weight.detach().flatten(1)  # type: ignore[union-attr]
    assert torch.equal(weight[0::2], -weight[1::2])
    patches = torch.cat([F.unfold(views.fixed(c), 3).transpose(1, 2).flatten(0, 1)[::7] for c in pictures])
    patches = patches - patches.mean(0)
    answers = patches @ weight[:54:2].T  # 27 components of 3 × 3 × 3 numbers
    covariance = answers.T @ answers / len(answers)
    variance = torch.linalg.eigvalsh(patches.T @ patches / len(patches)).flip(0).clamp(min=0)
    assert torch.allclose(covariance.diagonal(), variance / (variance + 1e-2), atol=1e-3)
    assert float((covariance - torch.diag(covariance.diagonal())).abs().max()) < 1e-3


def test_components_are_repeated_when_the_stem_has_more_filters_than_there_are(views: Views) -> None:
    net = network()
    statistics.whiten_stem(net, views, chunks())
    weight = statistics.first_convolution(net).weight.detach()  # type: ignore[union-attr]
    assert torch.equal(weight[54:60], weight[0:6])


def test_a_vit_is_left_as_it_is(views: Views) -> None:
    net = network("vit")
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert not statistics.whiten_stem(net, views, chunks())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_recalibrated_statistics_are_those_of_the_fixed_views(views: Views) -> None:
    net, pictures = network(), chunks()
    net.train()
    statistics.recalibrate(net, views, pictures, backbone=True)
    stem = next(module for module in net.modules() if isinstance(module, nn.BatchNorm2d))
    convolution = statistics.first_convolution(net)
    assert convolution is not None
    outputs = torch.cat([convolution(views.fixed(chunk)) for chunk in pictures]).detach()
    assert torch.allclose(stem.running_mean, outputs.mean((0, 2, 3)), atol=1e-5)  # type: ignore[arg-type]
    assert stem.momentum == 0.1
    assert net.training and stem.training


def test_a_pretrained_backbone_keeps_its_statistics_while_the_head_gets_new_ones(views: Views) -> None:
    net = network()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    statistics.recalibrate(net, views, chunks(), backbone=False)
    moved = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {
        "head.standardize.running_mean",
        "head.standardize.running_var",
        "head.standardize.num_batches_tracked",
    }


def test_embeddings_of_a_recalibrated_network_have_no_common_part(views: Views) -> None:
    net, pictures = network(), chunks()
    statistics.recalibrate(net, views, pictures, backbone=True)
    net.eval()
    with torch.no_grad():
        projected = torch.cat([net.head.project(net.backbone(views.fixed(c))) for c in pictures])
        standardized = net.head.standardize(projected)
    # Not exactly: while they were measured, the norms below standardized chunk by chunk.
    assert float(standardized.mean(0).abs().max()) < 0.05
    assert float((standardized.var(0) - 1).abs().max()) < 0.1
    assert float(F.normalize(projected, dim=1).mean(0).norm()) > 0.5  # without it there is one


def test_the_sample_depends_on_the_seed_and_holds_training_pictures_only() -> None:
    pixels = np.arange(3000, dtype=np.uint16).view(np.uint8)[:3000].reshape(3000, 1, 1, 1).repeat(3, 3)
    store = Store(pixels, np.arange(100, 3000), np.arange(100), failed=0, fingerprint="", mapped=None)
    first, again, other = (
        torch.cat(statistics.sample(store, seed, torch.device("cpu"))) for seed in (0, 0, 1)
    )
    assert len(first) == 1024
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_codes_start_as_product_quantization_of_the_features() -> None:
    torch.manual_seed(0)
    net = assemble(network().backbone, 4, 16, 16, Shape(alpha=10.0, quantizer="kmeans", standardize=False))
    random = torch.Generator().manual_seed(0)
    mixed = torch.randn(6, 16, generator=random) @ torch.diag(torch.arange(16, 0, -1.0))
    kinds = torch.randint(6, (400,), generator=random)
    features = mixed[kinds] + 2 * torch.randn(400, 16, generator=random) + 3
    statistics.start_codes(net, features)
    with torch.no_grad():
        x = net.head(features)
        unit = F.normalize(features, dim=1)
        centred = unit - unit.mean(0)
        # All 16 components are kept, so that distances between pictures stay what they were, but for one factor.
        ratio = torch.cdist(x, x)[0, 1:] / torch.cdist(centred, centred)[0, 1:]
        torch.testing.assert_close(ratio, ratio[:1].expand(399), rtol=1e-3, atol=0)
        covariance = x.T @ x / len(x)
        assert float((covariance - torch.diag(covariance.diagonal())).abs().max()) < 1e-3
        torch.testing.assert_close(x.square().sum(1).mean() / 4, torch.tensor(1.0))
        # Each part gets a like share: without dealing the last one would hold next to nothing.
        shares = covariance.diagonal().view(4, 4).sum(1)
        ordered = covariance.diagonal().sort(descending=True).values.view(4, 4).sum(1)
        assert float(shares.min()) > 4 * float(ordered.min())
        # The codewords are centres: those of the nearest ones are their mean.
        parts = x.view(-1, 4, 4)
        nearest = torch.cdist(parts.transpose(0, 1), net.quantizer.C).argmin(2)
        lost = sum(
            float((parts[:, m] - net.quantizer.C[m][nearest[m]]).square().sum(1).mean()) for m in range(4)
        )
        assert lost < 0.5 * 4, "half of what is there is lost"
        assert all(len(nearest[m].unique()) > 12 for m in range(4))


def test_many_codewords_start_from_halves_of_the_features() -> None:
    torch.manual_seed(0)
    net = assemble(network().backbone, 4, 256, 20, Shape(alpha=10.0, quantizer="kmeans", standardize=False))
    features = torch.randn(900, 16, generator=torch.Generator().manual_seed(0)) + 2
    statistics.start_codes(net, features)
    again = assemble(network().backbone, 4, 256, 20, Shape(alpha=10.0, quantizer="kmeans", standardize=False))
    statistics.start_codes(again, features)
    weights = net.head.project.weight.detach().view(4, 5, 16)
    assert torch.equal(weights.flatten(0, 1), again.head.project.weight)
    used = [set(torch.nonzero(part.abs().sum(0))[:, 0].tolist()) for part in weights]
    assert all(len(half) == 8 for half in used)
    assert used[0] | used[1] == used[2] | used[3] == set(range(16)), "two parts miss no feature"
    assert used[0] not in (used[2], used[3]), "the next two cut elsewhere"
    unit = F.normalize(features, dim=1)
    centred = unit - unit.mean(0)
    with torch.no_grad():
        x = net.head(features).view(-1, 4, 5)
    for m, half in enumerate(used):
        own = centred[:, sorted(half)]
        largest = torch.linalg.svdvals(own)[:5] ** 2  # the part holds the first components of its half
        held = torch.linalg.svdvals(x[:, m]) ** 2
        torch.testing.assert_close(held / held[0], largest / largest[0], rtol=1e-3, atol=1e-4)
    assert net.quantizer.C.shape == (4, 256, 5)


def test_codes_of_a_few_equal_pictures_can_be_started() -> None:
    net = assemble(network().backbone, 4, 16, 64, Shape(alpha=10.0, quantizer="kmeans", standardize=False))
    statistics.start_codes(net, torch.ones(3, 16))
    assert all(bool(value.isfinite().all()) for value in (*net.head.parameters(), net.quantizer.C))

"""`--preset paper`: each method as its paper has it, and the settings that only papers ask for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sightbook.errors import ConfigError
from sightbook.learn import begin, trainer
from sightbook.learn.choice import Choice
from sightbook.learn.forward import forward_loss
from sightbook.learn.methods.registry import BUILT_IN, find
from sightbook.learn.muon import Muon
from sightbook.learn.ranks import Ranks
from sightbook.learn.resolved import complete, reasons
from sightbook.learn.run import collect
from sightbook.learn.settings.config import TrainConfig, build
from sightbook.learn.settings.presets import layers
from sightbook.learn.views import Views
from sightbook.model.torch import backbone as backbones
from sightbook.model.torch.pretrained import open_pretrained
from tests import reference
from tests.learn.conftest import Train, config_of, fit, pictures, run_of
from tests.learn.test_methods import B, D, batch, loss_of

PAPERS = {name: find(name).paper for name in BUILT_IN if find(name).paper.settings}


def resolved(method: str | None, bits: int = 64, side: int = 32, **asked: Any) -> TrainConfig:
    named = {} if method is None else {"method": method}
    return complete({**named, "bits": bits, **asked}, "paper", None, side)


@pytest.mark.parametrize(
    ("method", "shape", "batch", "optimizer", "rate"),
    [
        ("spq", (16, 16), 256, "adam", 3e-4),
        ("mecoq", (256, 8), 128, "sgd", 0.01),
        ("sscq", (16, 16), 256, "adam", 5e-4),
        ("dccq", (256, 8), 128, "sgd", 0.01),
    ],
)
def test_each_paper_brings_its_network_and_its_own_terms(
    method: str, shape: tuple[int, int], batch: int, optimizer: str, rate: float
) -> None:
    config = resolved(method)
    assert shape == (config.K, config.M) and (config.D, config.batch) == (16 * config.M, batch)
    assert (config.optimizer.kind, config.optimizer.rate, config.optimizer.clip_norm) == (
        optimizer,
        rate,
        None,
    )
    assert (config.backbone.kind, config.backbone.widths) == ("resnet", (64, 128, 256, 512))
    assert (config.view_size, config.views.first_size, config.views.apart) == (32, None, True)
    assert not config.standardize and not config.backbone.whiten


def test_without_a_method_the_paper_is_that_of_transclippedclr_with_its_dropout() -> None:
    config = resolved(None)
    assert (config.method, config.K, config.backbone.kind, config.backbone.dropout) == (
        "transclippedclr", 256, "vit", 0.1,
    )  # fmt: skip


def test_a_method_without_a_paper_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing to say of method rcq: choose one of transclippedclr, spq"):
        resolved("rcq")


def test_equal_terms_are_left_alone_by_the_papers() -> None:
    for method in PAPERS:
        config = build([*layers(None, 32, None, method), {"epochs": 1}])
        assert (config.optimizer.kind, config.views.apart, config.views.local) == ("muon", False, 0)
        assert config.backbone.widths == (32, 64, 128)


def test_what_the_user_says_stands_above_the_paper() -> None:
    config = resolved("spq", views={"crop_min": 0.5}, optimizer={"kind": "sgd"}, minutes=3)
    assert (config.views.crop_min, config.views.blur, config.optimizer.kind) == (0.5, 0.5, "sgd")
    assert (config.optimizer.rate, config.minutes) == (3e-4, 3)


@pytest.mark.parametrize("side", [32, 64, 300])
@pytest.mark.parametrize("method", list(PAPERS))
@pytest.mark.parametrize("backbone", [None, "vit", "resnet"])
def test_papers_fit_every_size_and_network(method: str, backbone: str | None, side: int) -> None:
    config = complete({"method": method, "bits": 32}, "paper", backbone, side)
    assert config.view_size == config.size or method == "transclippedclr"
    assert config.backbone.kind == (backbone or ("vit" if method == "transclippedclr" else "resnet"))
    assert config.views.local == (4 if method == "dccq" and side > 64 else 0)


def test_a_transformer_that_was_named_keeps_the_papers_dropout_where_it_has_one(tmp_path: Path) -> None:
    for name, facts in (("vit", {"hidden_dropout_prob": 0.0}), ("cnn", {})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(facts))
        (tmp_path / name / "preprocessor_config.json").write_text(json.dumps({"size": 32}))
    for name, dropout in (("vit", 0.1), ("cnn", 0.0)):
        config = complete({"bits": 64}, "paper", str(tmp_path / name), 300)
        assert (config.backbone.dropout, config.backbone.kind) == (dropout, "pretrained")
    assert complete({"bits": 64}, None, str(tmp_path / "vit"), 300).backbone.dropout == 0


def test_dropout_reaches_a_pretrained_network_or_is_refused(tmp_path: Path) -> None:
    spec = backbones.spec_of(config_of("vit").backbone, 16)
    backbones.build(spec).body.save_pretrained(tmp_path)
    made, told = open_pretrained(str(tmp_path), dropout=0.3)
    rates = {module.p for module in made.modules() if isinstance(module, torch.nn.Dropout)}
    assert 0.3 in rates and told["transformers"]["hidden_dropout_prob"] == 0.3
    with pytest.raises(ConfigError, match=r"dropout 0\.3 would do nothing: builtin has no dropout"):
        open_pretrained("builtin", dropout=0.3)
    with pytest.raises(ConfigError, match=r"dropout 0\.3 would do nothing: with backbone.train head"):
        config_of({"kind": "pretrained", "name": "n", "train": "head", "dropout": 0.3})


def test_what_is_not_published_and_what_stands_in_for_it_is_said() -> None:
    for method, paper in PAPERS.items():
        config = resolved(method)
        said = reasons(config, Choice(None, {"method": method}), preset="paper", shorter=32, pictures=100)
        for untold in paper.untold:
            assert any("not published" in line and untold in line for line in said)
        assert sum(line.startswith("preset paper") for line in said) >= len(paper.instead)
    assert any("2,000 epochs" in line for line in reasons(
        resolved("spq"), Choice(None, {}), preset="paper", shorter=32, pictures=100
    ))  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "made"),
    [("adamw", torch.optim.AdamW), ("muon", Muon), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)],
)
def test_the_optimizer_that_is_named_is_the_one_that_learns(kind: str, made: type, tmp_path: Path) -> None:
    rates = {"kind": kind, "rate": 1e-3, "weight_decay": 0.1, "clip_norm": None}
    run = fit(run_of(config_of(optimizer=rates), tmp_path))
    assert type(run.optimizer) is made
    weight = next(p for n, p in run.network.named_parameters() if n.endswith("convolution.weight"))
    assert run.optimizer.state[weight] and torch.isfinite(weight).all()


def test_a_run_by_sgd_goes_on_along_the_same_curve(train: Train, tmp_path: Path, photos: Path) -> None:
    settings = {"optimizer": {"kind": "sgd", "rate": 0.01, "clip_norm": None}}
    train(photos, tmp_path / "whole", settings=settings)
    run = run_of(config_of(optimizer=settings["optimizer"]), tmp_path)
    trainer.step(run, None)
    state = run.optimizer.state_dict()["state"]
    assert state and all(torch.is_tensor(each["momentum_buffer"]) for each in state.values())
    run.save()
    other = run_of(config_of(optimizer=settings["optimizer"]), tmp_path)
    from sightbook.learn import checkpoint

    checkpoint.load(tmp_path, other.network, other.optimizer, collect(other.usage, other.memory))
    for one in (run, other):
        one.at.step = 1
        trainer.step(one, None)
    for (name, a), (_, b) in zip(
        run.network.named_parameters(), other.network.named_parameters(), strict=True
    ):
        assert torch.equal(a, b), name


def test_views_apart_have_statistics_of_their_own(tmp_path: Path) -> None:
    views = torch.randn(16, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    views[8:] += 3  # the second views are brighter: a norm over both sees that, one over each does not
    found = {}
    for apart in (False, True):
        run = run_of(config_of(views={"apart": apart}), tmp_path)
        run.network.train()
        seen: list[int] = []
        run.network.backbone.register_forward_hook(
            lambda m, given, out, seen=seen: seen.append(len(given[0]))
        )
        found[apart] = float(forward_loss(run.network, views, run, None)[0].detach())
        assert seen == ([8, 8] if apart else [16])
    assert found[True] != found[False]


def test_local_views_are_small_parts_and_dccq_learns_from_them(tmp_path: Path) -> None:
    config = config_of(method="dccq", views={"local": 3}, terms={"memory": 0})
    run = run_of(config, tmp_path)
    run.local_views = run.views.local()
    loss = trainer.step(run, None)
    assert run.terms["local_contrast"] > 0 and sum(run.terms.values()) == pytest.approx(loss, abs=1e-4)
    ramp = torch.arange(16, dtype=torch.uint8).mul(16).view(1, 1, 16, 1).expand(2, 16, 16, 3)
    plain = {"flip": 0.0, "jitter_share": 0.0, "grey": 0.0}
    whole = Views(config.views.model_copy(update=plain), 16, (0.0,) * 3, (1.0,) * 3)
    parts = whole.local()(ramp, 3)
    assert parts.shape == (6, 3, 16, 16)
    spread = (parts.amax((1, 2, 3)) - parts.amin((1, 2, 3))).max()
    assert spread < 0.55, "at most .14 of the area: some .37 of the side, more where it is wide"


def test_dccq_contrasts_local_embeddings_with_both_codes() -> None:
    views = batch()
    local = torch.randn(3 * B, D, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    with_local = views.__class__(views.features, views.x, views.z, views.p, views.C, None, local)
    z = views.z.tolist()
    each = [
        reference.debiased_contrast([*part.tolist(), *z[start : start + B]], 0.4, 0, 0.1, [])
        for part in local.split(B)
        for start in (0, B)
    ]
    expected = loss_of("dccq", views) + sum(each) / 6
    assert loss_of("dccq", with_local) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("method", [name for name in BUILT_IN if name not in ("neighbours", "dccq")])
def test_local_views_that_nobody_looks_at_are_refused(method: str, tmp_path: Path) -> None:
    config = config_of(method=method, views={"local": 2})
    with pytest.raises(ConfigError, match=f"views.local 2 would do nothing: method {method}"):
        begin.check_local(run_of(config, tmp_path))


def test_local_views_need_one_process_and_a_trained_network(tmp_path: Path) -> None:
    config = config_of(method="dccq", views={"local": 2})
    run = run_of(config, tmp_path)
    begin.check_local(run)
    run.ranks = Ranks(0, 2)
    with pytest.raises(ConfigError, match="needs one process"):
        begin.check_local(run)


def test_local_crops_must_be_in_order() -> None:
    with pytest.raises(ConfigError, match=r"local_min 0.5 is above views.local_max 0.14: exchange them"):
        config_of(views={"local_min": 0.5})


def test_a_papers_preset_trains_to_a_model(train: Train, tmp_path: Path, photos: Path) -> None:
    report = train(
        photos, tmp_path / "m", method="mecoq", preset="paper", settings={"M": 4, "D": 16, "K": 16}
    )
    assert report.steps > 0 and len(pictures(2)) == 2

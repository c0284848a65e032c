"""Each method as a whole: its loss is the sum its page tells, it trains all it should, it resumes, it is searched."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sightbook.errors import ConfigError
from sightbook.learn import log, trainer
from sightbook.learn.forward import forward_loss
from sightbook.learn.memory import Memory
from sightbook.learn.methods.batch import ViewBatch
from sightbook.learn.methods.loss import terms_of, total
from sightbook.learn.methods.registry import BUILT_IN, find, names
from sightbook.learn.run import pictures_of
from sightbook.learn.settings.config import build
from sightbook.learn.settings.presets import layers
from sightbook.model.model import Model
from tests import reference
from tests.learn.conftest import METHODS_OF_STEPS, Train, config_of, fit, pictures, run_of, weights

B, M, K, D = 6, 3, 4, 12
NAMES = METHODS_OF_STEPS


def batch(remembered: bool = False) -> ViewBatch:
    random = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=random)

    p = draw(2 * B, M, K).softmax(2)
    return ViewBatch(
        draw(2 * B, 7),
        draw(2 * B, D),
        draw(2 * B, D),
        p,
        draw(M, K, D // M),
        draw(5, D) if remembered else None,
    )


def loss_of(method: str, views: ViewBatch, **settings: Any) -> float:
    config = build([*layers("small", 32, None, method), {"M": M * 2, "D": D * 2, "epochs": 1}, settings])
    # The toy batch has 3 codebooks of 4 words, which no configuration allows; losses look at the tensors only.
    return float(total(terms_of(views, config.model_copy(update={"M": M}))))


def test_every_method_has_settings_and_the_names_agree() -> None:
    assert names()[: len(BUILT_IN)] == list(BUILT_IN)
    assert [name for name in BUILT_IN if find(name).loss is None] == ["neighbours"], (
        "it has no steps, and so no loss"
    )
    assert all(callable(find(name).function()) for name in NAMES)


def test_spq_is_the_cross_contrast() -> None:
    views = batch()
    expected = reference.cross_contrast(views.x.tolist(), views.z.tolist(), 0.5)
    assert loss_of("spq", views) == pytest.approx(expected, abs=1e-9)
    clipped = reference.cross_contrast(views.x.tolist(), views.z.tolist(), 0.5, 2)
    assert loss_of("spq", views, clip=0.2) == pytest.approx(clipped, abs=1e-9)


def test_rcq_is_the_contrast_of_codes_and_the_relation_of_embeddings() -> None:
    views = batch()
    x, z = views.x.tolist(), views.z.tolist()
    expected = reference.clipped_contrastive(z, 0.2, 1) + reference.relation(x, x, x, 0.1, 0.04, partner=True)
    assert loss_of("rcq", views, clip=1) == pytest.approx(expected, abs=1e-9)


def test_rcq_of_a_frozen_backbone_follows_the_features() -> None:
    views = batch()
    x, z = views.x.tolist(), views.z.tolist()
    unit = torch.nn.functional.normalize(views.features, dim=1)
    told = (unit - unit.mean(0)).tolist()
    expected = reference.relation(x, x, told, 0.1, 0.05, partner=False)
    expected += 0.2 * reference.relation(z, z, told, 0.1, 0.05, partner=False)
    frozen = {"backbone": {"kind": "pretrained", "name": "n", "train": "head"}}
    config = build(
        [*layers("small", 32, "n", "rcq", frozen=True), {"M": M * 2, "D": D * 2, "epochs": 1}, frozen]
    )
    assert (config.quantizer, config.standardize) == ("kmeans", False)
    found = total(terms_of(views, config.model_copy(update={"M": M})))
    assert float(found) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("remembered", [False, True])
def test_mecoq_is_debiased_contrast_entropy_and_similarity(remembered: bool) -> None:
    views = batch(remembered)
    extra = [] if views.remembered is None else views.remembered.tolist()
    expected = (
        reference.debiased_contrast(views.z.tolist(), 0.3, 0, 0.1, extra)
        + 0.01 * reference.soft_code_entropy(views.p.tolist())
        + 0.5 * reference.codeword_similarity(views.C.tolist())
    )
    assert loss_of("mecoq", views) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("remembered", [False, True])
def test_dccq_is_spqs_sets_with_mecoqs_debiasing(remembered: bool) -> None:
    views = batch(remembered)
    x, z = views.x.tolist(), views.z.tolist()
    extra = [] if views.remembered is None else views.remembered.tolist()
    expected = (
        reference.debiased_contrast([*x[:B], *z[B:]], 0.4, 0, 0.1, extra)
        + reference.debiased_contrast([*x[B:], *z[:B]], 0.4, 0, 0.1, extra)
        + 0.05 * reference.soft_code_entropy(views.p.tolist())
        + 0.5 * reference.codeword_similarity(views.C.tolist())
    )
    assert loss_of("dccq", views) == pytest.approx(expected, abs=1e-9)


def test_sscq_is_the_sum_of_its_terms() -> None:
    views = batch()
    x, z = views.x.tolist(), views.z.tolist()
    both = (views.x + views.z).tolist()
    expected = (
        reference.clipped_contrastive(x, 0.5, 0)
        + reference.clipped_contrastive(z, 0.5, 0)
        + 0.1 * reference.part_neighbours(z, M, 0.5, 4)
        + 0.2 * reference.codeword_usage(x, views.C.tolist())
        + 0.4 * reference.view_consistency(both, 0.2)
    )
    assert loss_of("sscq", views, terms={"neighbour_count": 4}) == pytest.approx(expected, abs=1e-9)


TERMS = {
    "rcq": ["contrast_z", "relation_x"],
    "transclippedclr": ["contrast_z"],
    "spq": ["cross_contrast"],
    "mecoq": ["contrast_z", "entropy", "codeword_similarity"],
    "sscq": ["contrast_x", "contrast_z", "neighbours", "usage", "consistency"],
    "dccq": ["cross_contrast", "entropy", "codeword_similarity"],
}


@pytest.mark.parametrize("nested", [(), (16, 32)])
@pytest.mark.parametrize("method", NAMES)
def test_the_terms_in_the_log_add_up_to_the_loss(
    method: str, nested: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "EVERY_SECONDS", 0.0)
    terms = {"terms": {"memory": 12, "memory_after": 0.0}} if method in ("mecoq", "dccq") else {}
    fit(run_of(config_of(method=method, nested=nested, M=16, D=64, **terms), tmp_path))
    lines = log.read(tmp_path)
    assert len(lines) == 6
    for line in lines:
        assert list(line["terms"]) == TERMS[method]
        assert sum(line["terms"].values()) == pytest.approx(line["loss"], abs=1e-4)
        assert len(set(line["terms"].values())) == len(TERMS[method])


def test_a_term_is_written_with_its_weight(tmp_path: Path) -> None:
    def terms(weight: float) -> dict[str, float]:
        run = run_of(config_of(method="mecoq", terms={"entropy": weight}), tmp_path)
        trainer.step(run, None)
        return run.terms

    assert terms(0.5)["entropy"] == pytest.approx(50 * terms(0.01)["entropy"])
    assert terms(0.5)["contrast_z"] == terms(0.01)["contrast_z"]


def test_a_loss_without_a_term_is_refused(tmp_path: Path) -> None:
    run = run_of(config_of(method="rcq", terms={"contrast_z": 0, "relation_x": 0}), tmp_path)
    with pytest.raises(ConfigError, match="every term of method rcq has weight 0"):
        trainer.step(run, None)


@pytest.mark.parametrize("codebooks", ["learned", "frozen"])
@pytest.mark.parametrize("method", NAMES)
def test_every_trainable_tensor_moves_in_one_step_and_no_frozen_one(
    method: str, codebooks: str, tmp_path: Path
) -> None:
    run = run_of(config_of(method=method, codebooks=codebooks), tmp_path)
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    trainer.step(run, None)
    trained = {name for name, parameter in run.network.named_parameters() if parameter.requires_grad}
    assert ("quantizer.C" in trained) == (codebooks == "learned")
    after = run.network.state_dict()
    assert [name for name in trained if torch.equal(before[name], after[name])] == []
    if codebooks == "frozen":
        assert torch.equal(before["quantizer.C"], after["quantizer.C"])


@pytest.mark.parametrize("method", NAMES)
def test_sixteen_pictures_can_be_overfitted(method: str, tmp_path: Path) -> None:
    views = {"crop_min": 0.9, "jitter": 0.0, "hue": 0.0, "grey": 0.0, "flip": 0.0}
    settings = {"batch": 16, "epochs": 120, "M": 8, "D": 64, "views": views, "clip": 0}
    rates = {"optimizer": {"rate": 5e-3, "weight_decay": 0.0}}
    run = fit(run_of(config_of(method=method, **settings, **rates), tmp_path, count=16))
    run.network.eval()
    fixed = run.views.fixed(torch.from_numpy(run.store.pixels))
    random = run.views(torch.from_numpy(run.store.pixels), copies=1)
    with torch.no_grad():
        stored, asked = run.network(fixed), run.network(random)
        codes = run.network.quantizer(stored)[1].argmax(2)
        p = run.network.quantizer(asked)[1]
    agreement = torch.stack([p[:, m].log()[:, codes[:, m]] for m in range(8)]).sum(0)
    assert (agreement.argmax(1) == torch.arange(16)).float().mean() >= 0.9
    assert len(torch.unique(codes, dim=0)) == 16


@pytest.mark.parametrize("method", ["mecoq", "dccq"])
def test_the_memory_takes_part_from_its_share_of_the_budget_on(method: str, tmp_path: Path) -> None:
    terms = {"memory": 20, "memory_after": 0.5}
    run = run_of(config_of(method=method, epochs=2, terms=terms), tmp_path)  # 24 pictures: 6 steps of 8
    taking_part = []
    for _ in range(6):
        taking_part.append(0 if (rows := run.recall()) is None else len(rows))
        trainer.step(run, None)
        run.at.step += 1
    assert taking_part == [0, 0, 0, 20, 20, 20]
    rows = run.recall()
    assert rows is not None
    views = run.views(pictures_of(run))
    alone, _, _ = forward_loss(run.network, views, run, None)
    with_memory, _, _ = forward_loss(run.network, views, run, None, remembered=rows)
    assert float(with_memory.detach()) > float(alone.detach())


def test_no_memory_is_kept_where_its_size_is_zero(tmp_path: Path) -> None:
    run = run_of(config_of(method="mecoq", terms={"memory": 0}), tmp_path)
    trainer.step(run, None)
    assert run.memory is None and run.recall() is None


def test_the_memory_is_first_in_first_out_and_follows_its_codebook() -> None:
    memory = Memory(3, 1, 2, torch.device("cpu"))
    C = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]], requires_grad=True)
    assert memory.rows(C).shape == (0, 2)
    for share in (0.1, 0.2, 0.3, 0.4):
        memory.push(torch.tensor([[[share, 1 - share]]], requires_grad=True))
    torch.testing.assert_close(memory.rows(C), torch.tensor([[0.2, 0.8], [0.3, 0.7], [0.4, 0.6]]))
    torch.testing.assert_close(memory.rows(2 * C), 2 * memory.rows(C))
    memory.rows(C).sum().backward()
    assert C.grad is not None and float(C.grad.abs().sum()) > 0
    assert not memory.codes.requires_grad
    memory.push(torch.tensor([[[share, 0.0]] for share in (1.0, 2.0, 3.0, 4.0)]))  # more than fit
    assert memory.rows(C)[:, 0].tolist() == [2.0, 3.0, 4.0]


@pytest.mark.parametrize("method", ["mecoq", "sscq"])
def test_an_interrupted_run_ends_where_the_whole_one_does(
    method: str, train: Train, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"K": 16, "terms": {"memory": 12, "memory_after": 0.2}} if method == "mecoq" else {}
    train(photos, tmp_path / "whole", method=method, settings=settings)
    step, calls = trainer.step, []

    def stopping(*arguments: Any) -> float:
        calls.append(1)
        if len(calls) == 5:
            signal.raise_signal(signal.SIGINT)
        return step(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "step", stopping)
        with pytest.raises(KeyboardInterrupt):
            train(photos, tmp_path / "cut", method=method, settings=settings)
    train(photos, tmp_path / "cut", resume=True)
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


@pytest.mark.parametrize("method", ["spq", "sscq"])
def test_a_model_of_distances_is_searched_by_distances(
    method: str, photos: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    settings = {"M": 4, "D": 16, "size": 16, "resize": 16, "batch": 8, "precision": "fp32"}
    backbone = {"stem_width": 8, "widths": [8, 16], "depths": [1, 1]}
    import sightbook

    sightbook.train(
        photos,
        tmp_path / "model",
        method=method,
        epochs=1,
        settings={**settings, "backbone": backbone},
        jobs=1,
    )
    model = Model.open(tmp_path / "model")
    facts = json.loads((tmp_path / "model" / "config.json").read_text())
    assert model.config.metric == facts["metric"] == "distance"
    x = model.embed(pictures(12))
    parts = x.reshape(12, 4, 1, 4)
    distances = np.sqrt(((parts - model.codebooks[None]) ** 2).sum(3))  # (12, M, K)
    codes = model.assign(x)
    np.testing.assert_array_equal(codes, distances.argmin(2))
    scores = np.take_along_axis(model.tables(x), codes[:, :, None].astype(int), 2)[:, :, 0].sum(1)
    nearest = distances.min(2).sum(1)
    np.testing.assert_array_equal(np.argsort(-scores, kind="stable"), np.argsort(nearest, kind="stable"))


def test_a_term_of_another_method_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"terms\.rho would do nothing in method spq: it has no terms"):
        build([*layers(None, 32, None, "spq"), {"epochs": 1, "terms": {"rho": 0.1}}])
    with pytest.raises(
        ConfigError, match=r"terms\.usage would do nothing in method mecoq: it has terms\.codeword"
    ):
        build([*layers(None, 32, None, "mecoq"), {"epochs": 1, "terms": {"usage": 0.1}}])
    with pytest.raises(
        ConfigError, match=r"^terms\.rho must be less than 1; terms\.memory must be a whole number"
    ):
        build([{"method": "mecoq", "epochs": 1, "terms": {"rho": 1, "memory": 2.5}}])
    with pytest.raises(ConfigError, match=r"^terms\.rho must be a number, not None$"):
        build([{"method": "mecoq", "epochs": 1, "terms": {"rho": None}}])
    with pytest.raises(
        ConfigError, match=r"^method 'moco' is unknown: choose one of neighbours, rcq, transclippedclr"
    ):
        layers(None, 32, None, "moco")


@pytest.mark.parametrize("method", NAMES)
@pytest.mark.parametrize("backbone", [None, "vit", "resnet"])
def test_every_method_fits_every_backbone(method: str, backbone: str | None) -> None:
    config = build([*layers("photo", 300, backbone, method), {"epochs": 1, "M": 8, "D": 128}])
    assert (config.method, config.size) == (method, 224)
    assert config.bits == (64 if method in ("mecoq", "dccq") else 32)

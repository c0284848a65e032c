from __future__ import annotations

import copy
import itertools
import math
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sightbook.errors import ModelError
from sightbook.learn import precision, trainer
from sightbook.learn.forward import forward_loss
from sightbook.learn.log import read
from sightbook.learn.optimizers import optimizer_for, schedule
from sightbook.learn.run import pictures_of, rows_of
from sightbook.learn.verdict import measure
from sightbook.learn.views import Views
from sightbook.progress import silent
from tests.learn.conftest import SIZE, Train, config_of, fit, pictures, run_of


@pytest.mark.parametrize("codebooks", ["learned", "frozen"])
@pytest.mark.parametrize("backbone", ["resnet", "vit"])
def test_every_trainable_tensor_moves_in_one_step(backbone: str, codebooks: str, tmp_path: Path) -> None:
    run = run_of(config_of(backbone, codebooks=codebooks), tmp_path)
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    trainer.step(run, None)
    trained = {name for name, parameter in run.network.named_parameters() if parameter.requires_grad}
    assert ("quantizer.C" in trained) == (codebooks == "learned")
    after = run.network.state_dict()
    assert [name for name in trained if torch.equal(before[name], after[name])] == []
    if codebooks == "frozen":
        assert torch.equal(before["quantizer.C"], after["quantizer.C"])


@pytest.mark.parametrize("backbone", ["resnet", "vit"])
def test_the_optimizer_holds_every_trainable_tensor_once_at_the_configured_rate(
    backbone: str, tmp_path: Path
) -> None:
    settings = {"rate": 3e-3, "backbone_rate": 2e-4, "weight_decay": 0.05}
    run = run_of(config_of(backbone, optimizer=settings), tmp_path)
    facts = {
        id(parameter): (group["lr"], group["base"], group["weight_decay"])
        for group in run.optimizer.param_groups
        for parameter in group["params"]
    }
    assert sum(len(group["params"]) for group in run.optimizer.param_groups) == len(facts)
    named = dict(run.network.named_parameters())
    assert set(facts) == {id(parameter) for parameter in named.values()}
    for name, parameter in named.items():
        rate = 2e-4 if name.startswith("backbone.") else 3e-3
        decays = parameter.ndim > 1 and name != "quantizer.C"
        assert facts[id(parameter)] == (rate, rate, 0.05 if decays else 0.0), name
    assert len(run.optimizer.param_groups) == 4


def test_without_a_rate_of_its_own_the_backbone_takes_the_common_one(tmp_path: Path) -> None:
    run = run_of(config_of(optimizer={"rate": 5e-4}), tmp_path)
    assert {group["base"] for group in run.optimizer.param_groups} == {5e-4}


def test_each_step_takes_the_scheduled_share_of_each_group_s_rate(tmp_path: Path) -> None:
    settings = {"rate": 1e-3, "backbone_rate": 1e-4, "warmup": 0.5}
    run = run_of(config_of(optimizer=settings, epochs=1), tmp_path, count=32)  # 4 steps
    seen = []
    for number in range(4):
        run.at.step = number
        trainer.step(run, None)
        seen.append({group["base"]: group["lr"] for group in run.optimizer.param_groups})
    half = 0.5 * (1 + math.sqrt(0.5))
    factors = [0.1, 0.55 * half, 0.5, 0.5 * (1 - math.sqrt(0.5))]
    for rates, factor in zip(seen, factors, strict=True):
        assert rates == {1e-3: pytest.approx(1e-3 * factor), 1e-4: pytest.approx(1e-4 * factor)}


@pytest.mark.parametrize(
    ("fraction", "warmup", "factor"),
    [
        (0.0, 0.2, 0.1),
        (0.1, 0.2, 0.55 * 0.5 * (1 + math.cos(0.1 * math.pi))),
        (0.2, 0.2, 0.5 * (1 + math.cos(0.2 * math.pi))),
        (0.5, 0.2, 0.5),
        (0.75, 0.0, 0.5 * (1 - math.sqrt(0.5))),
        (0.0, 0.0, 1.0),
        (1.0, 0.2, 0.0),
        (1.3, 0.2, 0.0),
    ],
)
def test_the_schedule_by_hand(fraction: float, warmup: float, factor: float) -> None:
    assert schedule(fraction, warmup) == pytest.approx(factor, abs=1e-12)


@pytest.mark.parametrize("batch", [1, 3, 4, 10])
def test_an_epoch_takes_every_picture_once_but_for_an_incomplete_batch(batch: int) -> None:
    count = 10
    per_epoch = count // batch
    epochs = []
    for epoch in range(3):
        steps = [
            rows_of(epoch * per_epoch + place, per_epoch, batch, count, seed=4) for place in range(per_epoch)
        ]
        assert [len(step) for step in steps] == [batch] * per_epoch
        taken = Counter(np.concatenate(steps).tolist())
        assert set(taken) <= set(range(count))
        assert set(taken.values()) == {1}
        assert len(taken) == per_epoch * batch
        epochs.append([step.tolist() for step in steps])
    if batch in (1, 3, 4):
        assert epochs[0] != epochs[1] != epochs[2]
        again = [rows_of(place, per_epoch, batch, count, seed=4).tolist() for place in range(per_epoch)]
        other = [rows_of(place, per_epoch, batch, count, seed=5).tolist() for place in range(per_epoch)]
        assert again == epochs[0] != other


def test_sixteen_pictures_can_be_overfitted(tmp_path: Path) -> None:
    tau = 0.2
    # The loss is least when both views agree and the 16 pictures are a simplex: cosine -1/15 to all others.
    least = math.log(1 + 30 * math.exp((-1 / 15 - 1) / tau))
    views = {"crop_min": 0.9, "jitter": 0.0, "hue": 0.0, "grey": 0.0, "flip": 0.0}
    settings = {"tau": tau, "clip": 0, "batch": 16, "epochs": 150, "M": 8, "D": 64, "views": views}
    run = fit(run_of(config_of(optimizer={"rate": 5e-3}, **settings), tmp_path, count=16))
    losses = [line["loss"] for line in read(tmp_path)]
    assert losses[0] > least + 0.5
    with torch.no_grad():
        last = [
            float(forward_loss(run.network, run.views(torch.from_numpy(run.store.pixels)), run, None)[0])
            for _ in range(5)
        ]
    assert np.mean(last) < least + 0.1


def test_train_mode_is_back_after_the_verdict_and_nothing_moved(tmp_path: Path) -> None:
    run = run_of(config_of(), tmp_path)
    run.network.train()
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    figures = measure(run.network, run.views, pictures(20), torch.device("cpu"))
    assert torch.equal(torch.rand(3), expected)
    assert all(module.training for module in run.network.modules())
    assert all(torch.equal(value, before[name]) for name, value in run.network.state_dict().items())
    assert figures == measure(run.network, run.views, pictures(20), torch.device("cpu"))
    run.network.eval()
    assert figures == measure(run.network, run.views, pictures(20), torch.device("cpu"))
    assert not any(module.training for module in run.network.modules())


def test_training_itself_runs_in_train_mode(tmp_path: Path) -> None:
    run = run_of(config_of(epochs=1), tmp_path)
    run.network.eval()
    statistics = run.network.backbone.body.embedder.embedder.normalization
    before = statistics.running_mean.clone()
    fit(run)
    assert all(module.training for module in run.network.modules())
    assert statistics.num_batches_tracked == 3
    assert not torch.equal(statistics.running_mean, before)


def test_choosing_the_precision_leaves_the_network_as_it_was(tmp_path: Path) -> None:
    run = run_of(config_of(), tmp_path)
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    views = run.views(pictures_of(run))
    name, why = precision.faster(
        run.network,
        lambda network, dtype: torch.autograd.backward(forward_loss(network, views, run, dtype)[0]),
        run.device,
    )
    assert why.endswith(f": {name} it is")
    assert all(torch.equal(value, before[key]) for key, value in run.network.state_dict().items())
    assert all(parameter.grad is None for parameter in run.network.parameters())


def test_views_begin_smaller_where_that_is_asked_for(tmp_path: Path) -> None:
    """Half the pixels for the first part of the budget; the fixed view, and so the model, keeps its size."""
    run = run_of(config_of(epochs=5, views={"first_size": 8, "first_share": 0.5}), tmp_path)
    run.first_views = run.views.smaller(8)
    seen: list[int] = []
    run.network.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-1]))
    fit(run)
    steps = 5 * run.steps_per_epoch
    assert seen == [8] * -(-steps // 2) + [SIZE] * (steps // 2)  # those of this run are as large as pictures
    assert run.first_views.fixed(torch.zeros(1, 16, 16, 3, dtype=torch.uint8)).shape[-1] == run.config.size


@pytest.mark.parametrize("first", [8, 12, 16, None])
def test_a_run_has_first_views_where_they_are_smaller(
    first: int | None, train: Train, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides: list[int] = []
    smaller = Views.smaller

    def seen(views: Views, side: int) -> Views:
        sides.append(side)
        return smaller(views, side)

    monkeypatch.setattr(Views, "smaller", seen)
    train(photos, tmp_path / "m", epochs=1, settings={"views": {"first_size": first}}, judge=False)
    assert sides == ([8] if first == 8 else []), "views of this run are 12 pixels"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("flags\t: sse avx2\nflags\t: sse avx2\n", False),
        ("flags\t: sse avx512f avx512_bf16\n", True),
        ("Features\t: fp asimd bf16\n", True),
        ("processor : 0\n", None),
        (None, None),
    ],
)
def test_the_processor_is_asked_for_bf16(
    told: str | None, expected: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One without it would take minutes over a batch of photos, only to find that out."""
    if told is not None:
        (tmp_path / "cpuinfo").write_text(told)
    monkeypatch.setattr(precision, "CPUINFO", tmp_path / "cpuinfo")
    assert precision.has_bf16() is expected
    tried: list[torch.dtype | None] = []
    module = torch.nn.Linear(2, 2)
    clock = 0.0
    monkeypatch.setattr(precision, "time", SimpleNamespace(perf_counter=lambda: clock))

    def step(_: torch.nn.Linear, dtype: torch.dtype | None) -> None:
        nonlocal clock
        tried.append(dtype)
        clock += 0.05 if dtype else 0.01

    name, why = precision.faster(module, step, torch.device("cpu"))
    assert name == "fp32" and why.endswith("fp32 it is")
    assert tried.count(torch.bfloat16) == (0 if expected is False else 1), "it is given up at the first loss"


def test_a_loss_that_is_no_number_ends_training_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    run = run_of(config_of(checkpoint_minutes=1e-9), tmp_path)
    with torch.no_grad():
        run.network.head.project.weight.fill_(torch.nan)
    with pytest.raises(ModelError, match=r"the loss became nan at step 0 .*--set optimizer\.rate"):
        trainer.fit(run, silent)
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_a_time_budget_is_spent_by_the_clock_and_drives_the_schedule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count(step=7.0)  # a step takes 7 s: the clock is read before and after it
    monkeypatch.setattr(trainer.time, "perf_counter", lambda: next(ticks))
    run = run_of(config_of(epochs=None, minutes=1.0, optimizer={"rate": 1.0, "warmup": 0.0}), tmp_path)
    seen = []
    original = trainer.step
    monkeypatch.setattr(
        trainer,
        "step",
        lambda *a: (original(*a), seen.append(run.optimizer.param_groups[0]["lr"]))[0],
    )
    fit(run)
    assert (run.at.step, run.at.seconds) == (9, 63.0)
    expected = [0.5 * (1 + math.cos(math.pi * 7 * number / 60)) for number in range(9)]
    assert seen == pytest.approx(expected)


def test_gradients_are_clipped_to_the_configured_norm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(config_of(optimizer={"clip_norm": 0.01}), tmp_path)
    norms = []
    original = run.optimizer.step

    def note() -> None:
        norms.append(
            torch.cat([p.grad.flatten() for p in run.network.parameters() if p.grad is not None]).norm()
        )
        original()

    monkeypatch.setattr(run.optimizer, "step", note)
    trainer.step(run, None)
    assert float(norms[0]) == pytest.approx(0.01, rel=1e-3)


def test_optimizer_for_leaves_out_what_is_not_trained() -> None:
    from sightbook.learn import session

    config = config_of(codebooks="frozen")
    network, *_ = session.make_network(config)
    network.head.project.weight.requires_grad_(False)
    held = {id(p) for group in optimizer_for(network, config.optimizer).param_groups for p in group["params"]}
    assert held == {id(p) for p in network.parameters() if p is not network.head.project.weight}


def test_a_collapse_is_noticed_within_an_epoch_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    run = run_of(config_of(epochs=9, codebooks="frozen", checkpoint_minutes=1e-9), tmp_path, count=32)
    fit_steps = 4
    healthy = run_of(config_of(epochs=1), tmp_path / "healthy", count=32)
    (tmp_path / "healthy").mkdir()
    fit(healthy)
    assert healthy.at.step == fit_steps
    with torch.no_grad():
        run.network.quantizer.C.copy_(run.network.quantizer.C[:, :1].expand_as(run.network.quantizer.C))
    with pytest.raises(
        ModelError, match=r"collapsed at step 3 of .*: all pictures get one and the same code"
    ):
        trainer.fit(run, silent)
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_pictures_on_the_device_are_those_of_the_store(tmp_path: Path) -> None:
    run = run_of(config_of(), tmp_path)
    expected = [pictures_of(run)]
    run.resident = torch.from_numpy(run.store.pixels)
    assert torch.equal(pictures_of(run), expected[0])


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_a_compiled_backbone_learns_the_same(tmp_path: Path) -> None:
    plain, compiled = (run_of(config_of(compile=name == "b"), tmp_path / name) for name in "ab")
    compiled.network.backbone.compile()
    before = set(compiled.network.state_dict())
    views = plain.views(pictures_of(plain))
    losses = [forward_loss(run.network, views, run, None)[0] for run in (plain, compiled)]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-4)
    torch.autograd.backward(losses[1])
    assert set(compiled.network.state_dict()) == before, "no name of a weight changes"
    copy.deepcopy(compiled.network)(views)  # as a snapshot copies it

"""Training a head on the cached features of a frozen backbone."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import sightbook
from sightbook.errors import ConfigError
from sightbook.learn import begin, features, mapped, statistics, trainer, writing
from sightbook.learn.forward import features_loss
from sightbook.learn.optimizers import schedule
from sightbook.learn.run import Run, places_of
from sightbook.model.model import Model
from sightbook.progress import Notice, silent
from tests.learn.conftest import GOOD, METHODS_OF_STEPS, fit, run_of
from tests.learn.conftest import config_of as base_config
from tests.model.test_backbone import write_backbone
from tests.pictures import write_photos

HEAD: dict[str, Any] = {"M": 4, "D": 16, "batch": 8, "precision": "fp32"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_backbone(tmp_path_factory.mktemp("backbone") / "resnet", "resnet")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    write_photos(folder, GOOD, side=32)
    return folder


def config_of(folder: Path, method: str = "transclippedclr", **settings: Any) -> Any:
    pretrained = {"kind": "pretrained", "name": str(folder), "train": "head"}
    sizes = {"size": 16, "resize": 16, "features": {"views": 3}}
    return base_config(method=method, **{**sizes, **settings, "backbone": pretrained})


def fill(run: Run, folder: Path, listener: Any = silent) -> features.Features:
    config = run.config
    return features.fill(
        run.network.backbone, run.views, run.store, config.features, precision=config.precision, seed=config.seed,
        held_out=config.held_out, device=run.device, folder=folder, listener=listener,
    )  # fmt: skip


def test_the_cache_holds_what_the_backbone_says_of_the_views(folder: Path, tmp_path: Path) -> None:
    run = run_of(config_of(folder), tmp_path, count=70)  # two chunks
    assert run.network.backbone.training
    cached = fill(run, tmp_path)
    assert cached.rows.shape == (70, 4, 16) and cached.rows.dtype == np.float16
    assert all(module.training for module in run.network.backbone.modules()), "the mode is as before"
    run.network.backbone.eval()
    for chunk, places in ((0, slice(0, 64)), (1, slice(64, 70))):
        for view in range(3):
            torch.manual_seed(features.seed_of(0, chunk, view))
            drawn = run.views(torch.from_numpy(run.store.pixels[places]), copies=1)
            with torch.no_grad():
                expected = run.network.backbone(drawn).numpy()
            np.testing.assert_array_equal(cached.rows[places, 1 + view], expected.astype(np.float16))
        with torch.no_grad():
            whole = run.network.backbone(run.views.fixed(torch.from_numpy(run.store.pixels[places]))).numpy()
        np.testing.assert_array_equal(cached.fixed[places], whole.astype(np.float16))
    assert len({cached.rows[0, view].tobytes() for view in range(4)}) == 4


def test_codes_start_from_the_fixed_views(folder: Path, tmp_path: Path) -> None:
    run = run_of(config_of(folder, "rcq"), tmp_path, count=32)
    run.features = fill(run, tmp_path)
    np.testing.assert_array_equal(begin.sample_features(run).numpy(), run.features.fixed.astype(np.float32))


def test_a_step_takes_two_different_views_of_each_picture(folder: Path, tmp_path: Path) -> None:
    rows = np.arange(6 * 5, dtype=np.float16).reshape(6, 5, 1)
    cached = features.Features(rows, tmp_path)
    places = np.array([4, 0, 2])
    seen = set()
    for step in range(60):
        pairs = cached.pairs(places, 7, step, torch.device("cpu"))
        assert torch.equal(pairs, cached.pairs(places, 7, step, torch.device("cpu")))
        first, second = pairs.view(2, 3).int().tolist()
        assert [value // 5 for value in first] == [value // 5 for value in second] == places.tolist()
        assert all(a != b for a, b in zip(first, second, strict=True))
        seen |= {(a % 5, b % 5) for a, b in zip(first, second, strict=True)}
    assert len(seen) == 20  # every ordered pair of the five views


@pytest.mark.parametrize("method", METHODS_OF_STEPS)
def test_training_from_the_cache_is_training_on_those_views(
    method: str, folder: Path, tmp_path: Path
) -> None:
    terms = {"terms": {"memory": 12, "memory_after": 0.0}} if method in ("mecoq", "dccq") else {}
    config = config_of(folder, method, **terms)
    cached, direct = run_of(config, tmp_path, count=32), run_of(config, tmp_path, count=32)
    cached.features = fill(cached, tmp_path)
    backbone = {name: value.clone() for name, value in cached.network.backbone.state_dict().items()}
    by_hand = cached.features
    for _ in range(3):
        loss = trainer.step(cached, None)
        pairs = by_hand.pairs(places_of(direct), 0, direct.at.step, direct.device)
        expected, p, _ = features_loss(direct.network, pairs, direct, direct.recall())
        for group in direct.optimizer.param_groups:
            group["lr"] = group["base"] * schedule(direct.fraction(), config.optimizer.warmup)
        direct.optimizer.zero_grad()
        expected.backward()
        torch.nn.utils.clip_grad_norm_(direct.network.parameters(), config.optimizer.clip_norm)
        direct.optimizer.step()
        if direct.memory is not None:
            direct.memory.push(p)
        assert loss == pytest.approx(float(expected.detach()), abs=1e-6)
        cached.at.step += 1
        direct.at.step += 1
    for name, value in cached.network.backbone.state_dict().items():
        assert torch.equal(value, backbone[name])
    assert {p for g in cached.optimizer.param_groups for p in g["params"]} == {
        p for name, p in cached.network.named_parameters() if not name.startswith("backbone.")
    }


def train(source: Path, out: Path, folder: Path, **options: Any) -> Any:
    settings = {**HEAD, "size": 16, "resize": 16, "features.views": 3, **options.pop("settings", {})}
    options.setdefault("epochs", 2)
    options.setdefault("method", "rcq")
    return sightbook.train(
        source, out, backbone=str(folder), train_part="head", settings=settings, jobs=1, **options
    )


def without_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "export", lambda encoder, path, *_: path.write_bytes(b"") or 0.0)


def test_a_model_comes_out_and_no_cache_stays(
    source: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_export(monkeypatch)
    said: list[str] = []
    report = train(
        source, tmp_path / "m", folder,
        listener=lambda event: said.append(event.text) if isinstance(event, Notice) else None,
    )  # fmt: skip
    assert report.steps == 8
    assert any("the frozen backbone runs once: 1 + 3 views of 32 pictures, 0 MiB" in text for text in said)
    assert any("the head alone" in text and "licence" in text for text in said)
    assert not list((tmp_path / "m" / "train").glob("features*"))
    facts = json.loads((tmp_path / "m" / "config.json").read_text())
    assert facts["trained"]["precision"] == "fp32"


def test_stopped_in_the_middle_of_caching_it_goes_on_to_the_same_weights(
    source: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_export(monkeypatch)
    monkeypatch.setattr(features, "CHUNK", 8)
    monkeypatch.setattr(features, "RECORD_SECONDS", 0.0)
    train(source, tmp_path / "whole", folder)
    real, calls = features.compute, []

    def seeds(*chunks: int) -> list[list[int]]:
        return [[features.seed_of(0, chunk, view) for view in range(3)] for chunk in chunks]

    def stopping(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments[3])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(features, "compute", stopping)
        with pytest.raises(KeyboardInterrupt):
            train(source, tmp_path / "cut", folder)
    assert calls == seeds(0, 1, 2)
    with pytest.raises(ConfigError, match="add --resume to go on with it"):
        train(source, tmp_path / "cut", folder)
    calls.clear()

    def counting(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments[3])
        return real(*arguments, **options)

    monkeypatch.setattr(features, "compute", counting)
    sightbook.train(source, tmp_path / "cut", resume=True, jobs=1)
    assert calls == seeds(2, 3)
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("change", ["backbone", "views", "damage", "nothing"])
def test_a_cache_of_something_else_is_made_anew(change: str, folder: Path, tmp_path: Path) -> None:
    run = run_of(config_of(folder), tmp_path, count=20)
    fill(run, tmp_path)
    if change == "backbone":
        with torch.no_grad():
            next(run.network.backbone.parameters()).mul_(1.01)
    elif change == "views":
        run = run_of(config_of(folder, views={"crop_min": 0.5}), tmp_path, count=20)
    elif change == "damage":
        (tmp_path / features.NAME).with_suffix(features.DATA).write_bytes(b"short")
    made: list[str] = []
    again = fill(run, tmp_path, lambda event: made.append(event.text) if isinstance(event, Notice) else None)
    assert bool(made) == (change != "nothing")
    run.network.backbone.eval()
    torch.manual_seed(features.seed_of(0, 0, 1))
    with torch.no_grad():
        expected = run.network.backbone(run.views(torch.from_numpy(run.store.pixels), copies=1))
    np.testing.assert_array_equal(again.rows[:, 2], expected.half().numpy())


def test_with_precision_auto_the_faster_is_taken_and_a_file_that_is_there_decides(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def say(name: str) -> None:
        monkeypatch.setattr(features, "faster", lambda *_: (name, f"{name} it is"))

    told: list[str] = []
    listener = lambda event: told.append(event.text) if isinstance(event, Notice) else None  # noqa: E731
    run = run_of(config_of(folder, precision="auto"), tmp_path, count=20)
    say("bf16")
    first = fill(run, tmp_path, listener)
    assert told[0] == "bf16 it is" and told[1].endswith(" MiB, bf16")
    kept = first.rows.copy()
    say("fp32")
    told.clear()
    np.testing.assert_array_equal(fill(run, tmp_path, listener).rows, kept)
    assert not told
    exact = fill(run_of(config_of(folder, precision="auto"), tmp_path, count=20), tmp_path / "other")
    assert not np.array_equal(exact.rows, kept)
    np.testing.assert_allclose(exact.rows.astype(float), kept.astype(float), atol=0.05)


def test_the_size_is_told_before_anything_is_computed(
    source: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        ConfigError, match=r"32 pictures × 4 views × 16 features need 0\.00 GiB, above features\.limit_g"
    ):
        train(source, tmp_path / "m", folder, settings={"features.limit_gib": 1e-9})
    assert not (tmp_path / "m").exists()
    monkeypatch.setattr(mapped.shutil, "disk_usage", lambda path: SimpleNamespace(free=10))
    with pytest.raises(ConfigError, match=r"but the disk of .* has 0\.00 GiB left"):
        train(source, tmp_path / "m", folder)


def test_sixteen_pictures_can_be_overfitted_from_the_cache(folder: Path, tmp_path: Path) -> None:
    views = {"crop_min": 0.98, "jitter": 0.0, "hue": 0.0, "grey": 0.0, "flip": 0.0}
    settings = {"M": 8, "D": 64, "batch": 16, "epochs": 150, "clip": 0, "views": views}
    settings["optimizer"] = {"rate": 1e-2}
    run = run_of(config_of(folder, **settings), tmp_path, count=16)
    run.features = fill(run, tmp_path)
    first = trainer.step(run, None)
    fit(run)
    last = trainer.step(run, None)
    assert last < first / 2


def test_kept_features_serve_other_runs_on_the_same_pictures(
    source: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_export(monkeypatch)
    kept = {"features.folder": str(tmp_path / "kept")}
    train(source, tmp_path / "short", folder, settings=kept)
    names = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert [Path(name).suffix for name in names] == [".f16", ".json"]
    monkeypatch.setattr(features, "compute", None)  # nothing is computed again
    train(source, tmp_path / "long", folder, settings={**kept, "M": 8, "D": 32}, method="sscq")
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == names


def test_rcq_starts_from_clusters_and_is_searched_by_near_cosine(
    source: Path, folder: Path, tmp_path: Path
) -> None:
    small = {**HEAD, "size": 16, "resize": 16, "features.views": 3}
    report = sightbook.train(
        source,
        tmp_path / "m",
        backbone=str(folder),
        method="rcq",
        train_part="head",
        epochs=2,
        settings=small,
        jobs=1,
    )
    assert report.steps > 0
    model = Model.open(tmp_path / "m")
    assert model.config.metric == "near-cosine"
    assert model.config.network["quantizer"] == "kmeans"
    files = sorted(source.rglob("*.jpg"))[:4]
    with sightbook.Library.open(tmp_path / "library", create_with=tmp_path / "m") as library:
        library.add(source, jobs=1)
        hits = library.search(files, k=GOOD)
    pixels = np.stack([model.prepare(file.read_bytes()) for file in files])
    x = model.embed(pixels)
    words = model.codebooks[None]
    parts = x.reshape(len(x), 4, 1, 4)
    entries = ((parts * words).sum(3) - 0.25 * (words**2).sum(3)) / (
        0.75 * (model.codebooks**2).sum(2).mean()
    )
    np.testing.assert_allclose(model.tables(x), entries, rtol=1e-4, atol=1e-5)
    codes = model.encode(pixels)
    np.testing.assert_array_equal(codes, model.tables(x).argmax(2))
    for query, file in enumerate(files):
        own = next(
            hit for hit in hits if hit.query == query and hit.path == file.relative_to(source).as_posix()
        )
        assert own.raw == pytest.approx(entries[query, np.arange(4), codes[query]].sum(), abs=4e-4)
        assert own.score == 1.0, "nothing scores above a stored picture's own code"


def test_frozen_codebooks_stay_the_clusters(source: Path, folder: Path, tmp_path: Path) -> None:
    config = config_of(folder, "rcq", codebooks="frozen")
    run = run_of(config, tmp_path, count=32)
    run.features = fill(run, tmp_path)
    statistics.start_codes(run.network, begin.sample_features(run))
    before = run.network.quantizer.C.clone()
    weights = run.network.head.project.weight.detach().clone()
    trainer.step(run, None)
    assert torch.equal(run.network.quantizer.C, before)
    assert not torch.equal(run.network.head.project.weight, weights)

"""Toy networks on made-up pictures: a run of training in well under a second, apart from writing encoder.onnx."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sightbook
from sightbook.learn import session, store, trainer, writing
from sightbook.learn.checkpoint import Position
from sightbook.learn.methods.registry import BUILT_IN, find
from sightbook.learn.optimizers import optimizer_for
from sightbook.learn.report import TrainReport
from sightbook.learn.run import Run, memory_for
from sightbook.learn.settings.config import TrainConfig, build
from sightbook.learn.usage import Usage
from sightbook.learn.views import Views
from sightbook.progress import silent
from tests.pictures import KINDS, picture, write_photos

SIZE, GOOD = 16, 40  # 40 pictures: 8 held out, 32 to train on, 4 steps of 8 an epoch
BACKBONES: dict[str, dict[str, Any]] = {
    "resnet": {"kind": "resnet", "stem_width": 8, "stem_stride": 1, "widths": [8, 16], "depths": [1, 1]},
    "vit": {"kind": "vit", "patch": 4, "width": 16, "depth": 2, "heads": 2},
}
METHODS_OF_STEPS = [name for name in BUILT_IN if name != "neighbours"]
TINY: dict[str, Any] = {
    "M": 4,
    "D": 16,
    "size": SIZE,
    "resize": SIZE,
    "batch": 8,
    "precision": "fp32",
    "backbone": BACKBONES["resnet"],
}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 pictures and, among them, a truncated, an empty and a mislabelled file."""
    folder = tmp_path_factory.mktemp("photos")
    write_photos(folder, GOOD, side=SIZE)
    (folder / "005-cut.jpg").write_bytes((folder / "beach.jpg").read_bytes()[:200])
    (folder / "007-empty.png").write_bytes(b"")
    (folder / "drafts" / "text.webp").write_text("no picture at all")
    return folder


@pytest.fixture
def no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves encoder.onnx to the tests that are about it: writing one costs seconds."""

    def export(encoder: object, path: Path, size: int, sample: object = None) -> float:
        path.write_bytes(b"not written in this test")
        return 0.0

    monkeypatch.setattr(writing, "export", export)


Train = Callable[..., TrainReport]


@pytest.fixture
def train(no_export: None) -> Train:
    """train(source, out, settings={...}, epochs=...): the real function with the toy network, without encoder.onnx."""

    def call(
        source: Any, out: Path, *, settings: dict[str, Any] | None = None, **options: Any
    ) -> TrainReport:
        if "minutes" not in options:
            options.setdefault("epochs", 2)
        merged = {**TINY, **(settings or {})}
        return sightbook.train(source, out, settings=merged, jobs=1, **options)

    return call


def config_of(
    backbone: str | dict[str, Any] = "resnet", method: str = "transclippedclr", **settings: Any
) -> TrainConfig:
    section = BACKBONES[backbone] if isinstance(backbone, str) else backbone
    tiny = {**TINY, "backbone": section, "epochs": 2}
    known = find(method)
    frozen = known.frozen if section.get("train") == "head" else {}
    return build([{"method": method}, known.settings, frozen, {"K": 16}, tiny, settings])


def pictures(count: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.stack([picture(KINDS[n % len(KINDS)], random, SIZE) for n in range(count)])


def run_of(config: TrainConfig, folder: Path, count: int = 24) -> Run:
    """A run at its start over `count` pictures in memory, none held out."""
    network, _, frame, scaling, _ = session.make_network(config)
    assert (frame.size, frame.resize) == (config.size, config.resize)
    kept = store.Store(
        pictures(count), np.arange(count), np.arange(0), failed=0, fingerprint="made up", mapped=None
    )
    device = torch.device("cpu")
    return Run(
        config,
        network,
        Views(config.views, config.size, *scaling),
        kept,
        device,
        folder,
        optimizer_for(network, config.optimizer),
        Usage(config.M, config.K, device),
        Position(),
        memory_for(config, device),
    )


def fit(run: Run) -> Run:
    trainer.fit(run, silent)
    return run


def weights(folder: Path) -> bytes:
    """model.safetensors as bytes: what two runs must share to the last bit."""
    return (folder / "model.safetensors").read_bytes()

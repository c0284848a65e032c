"""Two processes train as one. Real ones, joined by gloo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sightbook.errors import ConfigError
from sightbook.learn import session
from sightbook.learn.ranks import ALONE, Ranks, check_batch, from_environment
from sightbook.learn.sitting import Sitting
from sightbook.learn.train import train
from sightbook.model.model import Model
from tests.learn.conftest import BACKBONES, TINY

ROOT = Path(__file__).parents[2]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


# The softmax of attention ignores a constant added to all keys, standardizing one added to all features: the gradient
# of these is rounding alone, which AdamW blows up to whole steps. The running mean follows the second.
WITHOUT_GRADIENT = ("k_proj.bias", "body.layernorm.bias", "standardize.running_mean")


def call(*command: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=150, check=False
    )


def test_two_ranks_make_the_steps_of_one(tmp_path: Path) -> None:
    methods = ("transclippedclr", "dccq")
    worker = str(Path(__file__).with_name("ranks_worker.py"))
    for method in methods:
        for name, command in (("one", [sys.executable]), ("two", TORCHRUN)):
            done = call(*command, worker, str(tmp_path / f"{method}-{name}"), method, "16")
            assert done.returncode == 0, done.stderr
        alone = load_file(tmp_path / f"{method}-one-0")
        first, second = (load_file(tmp_path / f"{method}-two-{rank}") for rank in (0, 1))
        assert alone["losses"].unique().numel() == 3, "nothing was learned between the steps"
        for name, value in alone.items():
            if name.endswith(WITHOUT_GRADIENT):
                continue
            torch.testing.assert_close(first[name], value, rtol=0, atol=1e-5)
            torch.testing.assert_close(second[name], first[name], rtol=0, atol=1e-7)


def test_the_command_under_torchrun_writes_one_model(photos: Path, tmp_path: Path) -> None:
    settings = {**TINY, "backbone.kind": "vit", **{f"backbone.{k}": v for k, v in BACKBONES["vit"].items()}}
    del settings["backbone"]
    listed = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    done = call(
        *TORCHRUN, "-m", "sightbook", "train", str(photos), "--out", "m", "--epochs", "1", "--jobs", "1",
        "--json", *listed, folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)  # one document: the second rank says nothing
    assert report["steps"] == 4
    model = Model.open(tmp_path / "m")
    assert model.config.trained["processes"] == 2
    assert model.fingerprint == report["fingerprint"]
    assert sorted(path.name for path in (tmp_path / "m" / "train").iterdir()) == [
        "config.yaml",
        "curves.png",
        "failures.jsonl",
        "log.jsonl",
    ]
    assert done.stderr.count("skipped 3 pictures") + done.stderr.count("2 processes") >= 1


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    check_batch(8, Ranks(1, 2))
    with pytest.raises(
        ConfigError, match="a batch of 9 pictures cannot be shared by 2 processes: set batch to a mult"
    ):
        check_batch(9, Ranks(0, 2))


def test_the_environment_tells_who_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert from_environment() == ALONE
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert from_environment() == Ranks(2, 4)
    assert from_environment().part(torch.arange(8)).tolist() == [4, 5]
    monkeypatch.setenv("RANK", "two")
    with pytest.raises(ConfigError, match="RANK=two"):
        from_environment()


def test_only_the_first_rank_makes_the_folder(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A second rank that was there before the first would make the folder look occupied to it.
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    seen = []

    def joined(sitting: Sitting, *rest: object) -> None:
        seen.append(sitting.folder.exists())

    monkeypatch.setattr(session, "run_session", joined)
    train(photos, tmp_path / "m", epochs=1, settings=TINY)
    assert seen == [False]


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_each_process_of_a_machine_has_a_gpu_of_its_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "zeros", lambda *_, device: device)
        assert session.find_device(name) == torch.device("cuda", 1)
        assert session.find_device("cuda:0") == torch.device("cuda", 0)

    def refuse(*_: object, device: torch.device) -> None:
        raise RuntimeError("CUDA error: invalid device ordinal")

    monkeypatch.setattr(torch, "zeros", refuse)
    with pytest.raises(ConfigError, match=r"^device 'cuda' is not usable here"):
        session.find_device("cuda")

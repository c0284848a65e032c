"""Does training keep the network busy? Its loop against the bare network on a fixed tensor, in the same run.

Run:  python benchmarks/train_speed.py [SOURCE] [--steps 12] [--rounds 5] [--backbone vit] [--set K=V] [--json FILE]
Each round times, one after the other: `steps` steps of `sightbook.learn.trainer.fit` with all it does (pictures
gathered, two views each, quantizer, loss, gradient clipping, AdamW, codeword usage, log, progress), as many bare steps
(backbone and head forward, backward, AdamW, on one fixed tensor; same network, precision and batch), and each part
of the rest alone. The table holds medians over the rounds. Without SOURCE: made-up pictures of 32 × 32, small preset.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sightbook.allocator import TRAINING, keep_freed_memory, own_process
from sightbook.images.pixels.frame import Frame
from sightbook.learn import session, store, trainer
from sightbook.learn.begin import choose_precision
from sightbook.learn.checkpoint import Position
from sightbook.learn.log import TrainLog
from sightbook.learn.methods.batch import ViewBatch
from sightbook.learn.methods.loss import terms_of, total
from sightbook.learn.optimizers import optimizer_for
from sightbook.learn.precision import autocast
from sightbook.learn.run import Run, pictures_of
from sightbook.learn.settings.config import build
from sightbook.learn.settings.layers import parse_setting
from sightbook.learn.settings.presets import layers as preset_layers
from sightbook.learn.usage import Usage
from sightbook.learn.views import Views
from sightbook.model.torch.layout import channels_last
from sightbook.progress import Meter, silent

WANTED = 0.85


def made_up(count: int, side: int) -> store.Store:
    """`count` pictures of soft colour patches."""
    random = np.random.default_rng(0)
    patches = random.integers(0, 256, (count, side // 8, side // 8, 3), dtype=np.uint8)
    pixels = patches.repeat(8, axis=1).repeat(8, axis=2)
    return store.Store(pixels, np.arange(count), np.arange(0), failed=0, fingerprint="", mapped=None)


def begin(given: argparse.Namespace, folder: Path) -> Run:
    """A run whose budget is `--steps` steps, over SOURCE or made-up pictures."""
    settings = [parse_setting(text) for text in given.set]
    side = 32 if given.source is None else given.side
    layers = [*preset_layers(None, side, given.backbone), {"epochs": 1}, *settings]
    config = build(layers)
    needed = given.steps * config.batch
    frame = Frame(config.resize, config.resize)
    if given.source is None:
        pictures = made_up(needed, config.resize)
    else:
        pictures = store.fill(
            [given.source], frame, folder, held_out=0.01, memory_gib=config.memory_gib, listener=silent
        )
        rows = np.resize(pictures.train, needed)
        pictures = store.Store(pictures.pixels, rows, rows[:0], failed=0, fingerprint="", mapped=None)
    network, _, _, scaling, _ = session.make_network(config)
    device = session.find_device(given.device)
    channels_last(network.to(device))
    views = Views(config.views, config.size, *scaling, side=config.view_size).to(device)
    optimizer = optimizer_for(network, config.optimizer)
    usage = Usage(config.M, config.K, device)
    run = Run(config, network, views, pictures, device, folder, optimizer, usage, Position())
    run.at.precision = choose_precision(run, silent)
    return run


def seconds(call: Callable[[], Any], device: torch.device, repeats: int = 1) -> float:
    """Seconds for one of `repeats` calls."""
    started = time.perf_counter()
    for _ in range(repeats):
        call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / repeats


class Parts:
    """What a step of the loop consists of, each callable alone."""

    def __init__(self, run: Run, steps: int) -> None:
        self.run, self.steps = run, steps
        self.dtype = torch.bfloat16 if run.at.precision == "bf16" else None
        self.pictures = pictures_of(run)
        self.fixed = run.views(self.pictures)
        self.network = copy.deepcopy(run.network).train()
        self.optimizer = optimizer_for(self.network, run.config.optimizer)
        with torch.no_grad():
            self.x = self.network(self.fixed).float()
        self.target = torch.randn_like(self.x)
        self.p: Tensor = run.network.quantizer(self.x)[1].detach()
        self.bare_step()  # fills the gradients

    def loop(self) -> None:
        """The real training loop for `steps` steps; its last checkpoint is timed apart."""
        self.run.at = Position(precision=self.run.at.precision)
        self.run.save = lambda: None  # type: ignore[method-assign]
        trainer.fit(self.run, silent)
        del self.run.save

    def bare_step(self) -> None:
        with autocast(self.fixed.device, self.dtype):
            features = self.network.backbone(self.fixed)
        loss = (self.network.head(features.float()) * self.target).sum()
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimizer.step()

    def gather(self) -> None:
        pictures_of(self.run)

    def views(self) -> None:
        self.run.views(self.pictures)

    def loss(self) -> None:
        x = self.x.detach().requires_grad_()
        z, p = self.run.network.quantizer(x)
        batch = ViewBatch(x, x, z, p, self.run.network.quantizer.codewords())
        torch.autograd.backward(total(terms_of(batch, self.run.config)))

    def clipping(self) -> None:
        nn.utils.clip_grad_norm_(self.network.parameters(), self.run.config.optimizer.clip_norm)

    def usage(self) -> None:
        self.run.usage.update(self.p)
        self.run.usage.share()
        self.run.usage.perplexity()

    def logging(self) -> None:
        """Log and progress of `steps` steps."""
        meter = Meter(silent, "train")
        with TrainLog(self.run.folder, 0) as log:
            for _ in range(self.steps):
                figures = {"loss": 1.0, "used": 1.0, "perplexity": 1.0}
                meter.advance(self.run.batch, **figures)
                log.write(self.run.at, 0.0, figures, {"relation_x": 1.0})


def main() -> None:
    """Measures and prints one table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("source", nargs="?")
    options.add_argument("--side", type=int, default=32, help="the pictures' side, for choosing the preset")
    options.add_argument("--steps", type=int, default=12)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--backbone")
    options.add_argument("--device", default="auto")
    options.add_argument("--threads", type=int, help="default: as torch chooses")
    options.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    own_process()
    keep_freed_memory(TRAINING)
    if given.threads:
        torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        measure(given, begin(given, Path(folder)))


def measure(given: argparse.Namespace, run: Run) -> None:
    """Rounds of the loop, the bare step and the parts; prints and writes the result."""
    parts, steps, device = Parts(run, given.steps), given.steps, run.device
    parts.loop()  # warms kernels and caches up
    rounds: dict[str, list[float]] = {}
    for _ in range(given.rounds):
        for name, value in (
            ("loop", seconds(parts.loop, device) / steps),
            ("bare", seconds(parts.bare_step, device, steps)),
            ("gather", seconds(parts.gather, device, steps)),
            ("views", seconds(parts.views, device, steps)),
            ("quantizer and loss", seconds(parts.loss, device, steps)),
            ("gradient clipping", seconds(parts.clipping, device, steps)),
            ("codeword usage", seconds(parts.usage, device, steps)),
            ("log and progress", seconds(parts.logging, device) / steps),
        ):
            rounds.setdefault(name, []).append(value)
    checkpoint = seconds(run.save, device)
    median = {name: statistics.median(values) for name, values in rounds.items()}
    share = statistics.median(bare / loop for bare, loop in zip(rounds["bare"], rounds["loop"], strict=True))
    config = run.config
    print(
        f"{config.backbone.kind}, {config.size} × {config.size} pixels, batch {run.batch} (two views each), "
        f"{run.at.precision}, {run.device}, {torch.get_num_threads()} threads, {given.rounds} rounds of {steps} steps"
    )
    print(f"{'part of a step':<22} {'ms':>8} {'of loop':>8} {'pictures/s':>11}")
    rest = median["loop"] - sum(value for name, value in median.items() if name != "loop")
    table = {**median, "not explained": rest}
    for name, value in table.items():
        rate = f"{run.batch / value:11.0f}" if name in ("loop", "bare") else ""
        print(f"{name:<22} {1000 * value:8.2f} {value / median['loop']:8.1%} {rate}")
    per_minutes = f"once in {config.checkpoint_minutes:g} minutes, not in the loop above"
    print(f"{'checkpoint':<22} {1000 * checkpoint:8.2f} {per_minutes}")
    print(f"loop / bare: {share:.3f} of the bare rate (wanted: at least {WANTED})")
    if given.json:
        facts = {
            "backbone": config.backbone.kind,
            "size": config.size,
            "batch": run.batch,
            "precision": run.at.precision,
            "threads": torch.get_num_threads(),
            "pictures_per_second": run.batch / median["loop"],
            "bare_pictures_per_second": run.batch / median["bare"],
            "share": share,
            "ms": {name: 1000 * value for name, value in table.items()},
            "checkpoint_ms": 1000 * checkpoint,
            "rounds": rounds,
        }
        given.json.write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()

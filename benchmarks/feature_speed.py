"""Does caching the features of a frozen backbone run as fast as its parts allow?

    python benchmarks/feature_speed.py BACKBONE SOURCE [--pictures 256] [--rounds 3] [--json FILE]

Each round measures, one after the other on all cores: decoding alone, V views alone, the forward pass alone, and then
all of it as training does it (`features.fill`). At best that rate is 1/(1/decode + 1/views + 1/forward), per picture
with its V views.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from sightbook.allocator import TRAINING, keep_freed_memory, own_process
from sightbook.images.load.pool import Loaded, load
from sightbook.images.pixels.frame import Frame
from sightbook.images.sources import open_sources
from sightbook.learn import features, session, store
from sightbook.learn.precision import autocast
from sightbook.learn.settings.config import build
from sightbook.learn.settings.presets import layers
from sightbook.learn.views import Views
from sightbook.model.hub import preprocessing
from sightbook.model.torch.layout import channels_last
from sightbook.progress import silent

WANTED = 0.85
_CHUNK = 64


def main() -> None:
    """Measures and prints one table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("backbone")
    options.add_argument("source", type=Path)
    options.add_argument("--pictures", type=int, default=256)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    own_process()
    keep_freed_memory(TRAINING)
    facts = preprocessing(given.backbone)
    section = {"backbone": {"train": "head"}, "size": facts.size, "resize": facts.resize, "epochs": 1}
    config = build([*layers(None, 224, given.backbone), section, {"precision": given.precision}])
    device = torch.device("cpu")
    dtype = torch.bfloat16 if given.precision == "bf16" else None
    network, _, frame, scaling, _ = session.make_network(config)
    channels_last(network)
    backbone = network.backbone.eval()
    views = Views(config.views, config.size, *scaling, side=config.view_size)
    entries = list(itertools.islice(open_sources([given.source]).entries(), given.pictures))
    square = Frame(frame.resize, frame.resize, frame.resample)
    pixels = np.stack([item.pixels for item in load(entries, square) if isinstance(item, Loaded)])
    n, V = len(pixels), config.features.views
    kept = store.Store(pixels, np.arange(n), np.arange(0), failed=0, fingerprint="", mapped=None)
    chunks = [torch.from_numpy(pixels[start : start + _CHUNK]) for start in range(0, n, _CHUNK)]
    ready = [views(chunk, copies=1) for chunk in chunks]

    def decode() -> None:
        assert sum(isinstance(item, Loaded) for item in load(entries, square)) == n

    def draw() -> None:
        for chunk in chunks:
            for _ in range(V):
                views(chunk, copies=1)

    @torch.inference_mode()
    def forward() -> None:
        for drawn in ready:
            for _ in range(V):
                with autocast(device, dtype):
                    backbone(drawn).float()

    def whole() -> None:
        decode()
        with tempfile.TemporaryDirectory() as folder:
            features.fill(
                backbone, views, kept, config.features, precision=config.precision, seed=config.seed,
                held_out=config.held_out, device=device, folder=Path(folder), listener=silent,
            )  # fmt: skip

    parts: dict[str, Callable[[], None]] = {
        "decode": decode,
        "views": draw,
        "forward": forward,
        "whole": whole,
    }
    rows = []
    for _ in range(given.rounds):
        rate = {name: n / _seconds(call) for name, call in parts.items()}
        best = 1 / (1 / rate["decode"] + 1 / rate["views"] + 1 / rate["forward"])
        rows.append({**rate, "best": best, "share": rate["whole"] / best})
    print(f"{n} pictures, {V} views of {config.view_size} px each, {given.precision}; pictures/s")
    print(f"{'decode':>9} {'views':>9} {'forward':>9} {'best':>9} {'whole':>9} {'of best':>9}")
    for row in rows:
        numbers = (row[name] for name in ("decode", "views", "forward", "best", "whole"))
        print(" ".join(f"{value:9.1f}" for value in numbers), f"{row['share']:9.2f}")
    share = statistics.median(row["share"] for row in rows)
    print(f"median share {share:.2f} (wanted: at least {WANTED})")
    if given.json:
        given.json.write_text(json.dumps({"pictures": n, "views": V, "rounds": rows, "share": share}))


def _seconds(call: Callable[[], None]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()

"""Does encoding overlap decoding? `encode` against the best its two halves allow, on the same pictures and cores.

Run:  python benchmarks/add_speed.py MODEL SOURCE [--pictures 1500] [--rounds 3] [--json FILE]
Each round measures, one after the other on a warm file cache: decoding alone (all cores), the forward pass alone (all
cores, pixels in memory) and both through `sightbook.model.encode`. At best that rate is 1 / (1/decode + 1/forward).
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from pathlib import Path

import numpy as np

from sightbook.images.pool import Loaded, load
from sightbook.images.sources import open_sources
from sightbook.model.encode import encode
from sightbook.model.model import Model

BATCH = 128


def main() -> None:
    """Measures and prints one table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("model", type=Path)
    options.add_argument("source", type=Path)
    options.add_argument("--pictures", type=int, default=1500)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    model = Model.open(given.model)
    entries = list(itertools.islice(open_sources([given.source]).entries(), given.pictures))
    for entry in entries:
        entry.read()
    model.embed(np.zeros((8, model.frame.size, model.frame.size, 3), np.uint8))
    rows = []
    print(f"{len(entries)} pictures at {model.frame.size} px; pictures/s")
    print(f"{'decode':>9} {'forward':>9} {'best':>9} {'encode':>9} {'of best':>9}")
    for _ in range(given.rounds):
        started = time.perf_counter()
        pixels = [item.pixels for item in load(entries, model.frame) if isinstance(item, Loaded)]
        decode = len(entries) / (time.perf_counter() - started)
        started = time.perf_counter()
        for place in range(0, len(pixels), BATCH):
            model.assign(model.embed(np.stack(pixels[place : place + BATCH])))
        forward = len(pixels) / (time.perf_counter() - started)
        del pixels
        started = time.perf_counter()
        n = sum(1 for _ in encode(entries, model, batch=BATCH))
        both = n / (time.perf_counter() - started)
        best = 1 / (1 / decode + 1 / forward)
        rows.append(
            {"decode": decode, "forward": forward, "best": best, "encode": both, "share": both / best}
        )
        print(f"{decode:9.0f} {forward:9.0f} {best:9.0f} {both:9.0f} {both / best:9.2f}", flush=True)
    share = statistics.median(row["share"] for row in rows)
    print(f"median share {share:.2f} (wanted: at least 0.85)")
    if given.json:
        given.json.write_text(json.dumps({"rounds": rows, "median_share": share}, indent=2) + "\n")


if __name__ == "__main__":
    main()

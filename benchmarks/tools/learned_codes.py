"""Makes many learned codes out of the pictures there are: what `search.py --learned` and `bounds.py` measure on.

Run:  python benchmarks/tools/learned_codes.py MODEL SOURCE QUERIES OUT [--n 1000000] [--views 1000000] [--bits 64]
Each code is that of one view of a picture: a random cut of half to all of it, perhaps mirrored, its colours a little
changed. Codes beyond `--views` are those of the same embeddings with noise added, in each dimension as large as the
difference between two views of a picture. The queries are pictures of another source, as they are.
OUT.npz: packed (N, code_bytes) uint8, tables (Q, M, K) float32, codebooks (M, K, d) float32, and how they were made.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

import numpy as np
import torch

from sightbook.images.load.pool import Loaded, load
from sightbook.images.sources import open_sources
from sightbook.learn.settings.sections import ViewsConfig
from sightbook.learn.views import Views
from sightbook.model.model import Model

BATCH = 500
QUERIES = 1000


def main() -> None:
    """Encodes and writes one file for each length."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("model", type=Path)
    options.add_argument("source", type=Path)
    options.add_argument("queries", type=Path)
    options.add_argument("out", type=Path)
    options.add_argument("--n", type=int, default=1_000_000)
    options.add_argument("--views", type=int, default=1_000_000, help="codes that are of views, not of noise")
    options.add_argument("--bits", type=int, nargs="+", help="lengths of a nested model; all of its bits")
    given = options.parse_args()
    model = Model.open(given.model)
    models = [model.prefix(bits) for bits in given.bits or [model.bits]]
    pixels = pictures(model, given.source)
    asked = model.embed(pictures(model, given.queries)[:QUERIES])
    torch.manual_seed(0)
    config = ViewsConfig(crop_min=0.5, jitter=0.2, jitter_share=0.5, hue=0.02, grey=0.0, blur=0.0)
    views = Views(config, model.frame.size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    rng = np.random.default_rng(0)
    found: list[list[np.ndarray]] = [[] for _ in models]
    spread = np.zeros(model.D, np.float32)
    codes, started = 0, time.perf_counter()
    while codes < given.n:
        for place in range(0, len(pixels), BATCH):
            some = torch.from_numpy(pixels[place : place + BATCH])
            seen = (views(some, 1).permute(0, 2, 3, 1) * 255).round().clamp(0, 255).byte().numpy()
            x = model.embed(np.ascontiguousarray(seen))
            if not codes:
                spread = (x - model.embed(pixels[:BATCH])).std(axis=0) / np.float32(2) ** 0.5
            # The copies that noise makes of this view, so that all there are in the end are `n`.
            for copy in range(-(-given.n // given.views)):
                noisy = x if copy == 0 else x + spread * rng.standard_normal(x.shape, dtype=np.float32)
                for one, kept in zip(models, found, strict=True):
                    kept.append(one.pack(one.assign(noisy[:, : one.D].astype(np.float32))))
                codes += len(x)
            if codes >= given.n:
                break
        print(f"{codes:,} codes, {codes / (time.perf_counter() - started):,.0f}/s", flush=True)
    for one, kept in zip(models, found, strict=True):
        packed = np.concatenate(kept)[: given.n]
        path = given.out.with_name(f"{given.out.name}-{one.bits}.npz")
        np.savez(
            path, packed=packed, tables=one.tables(asked[:, : one.D]), codebooks=one.codebooks,
            pictures=len(pixels), views=min(given.views, given.n),
        )  # fmt: skip
        distinct = len(np.unique(packed, axis=0))
        print(f"{path}: {len(packed):,} codes of {one.bits} bits, {distinct:,} of them distinct")


def pictures(model: Model, source: Path) -> np.ndarray:
    """The pictures of a source, (N, S, S, 3) uint8."""
    entries = open_sources([source]).entries()
    loaded = load(list(itertools.islice(entries, 60_000)), model.frame)
    return np.stack([item.pixels for item in loaded if isinstance(item, Loaded)])


if __name__ == "__main__":
    main()

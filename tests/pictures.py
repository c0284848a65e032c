"""Made-up pictures for the tests: six kinds of pattern in random colours; colour does not tell the kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

KINDS = ("rows", "columns", "checks", "disc", "ring", "cross")


def picture(kind: str, random: np.random.Generator, side: int = 32) -> NDArray[np.uint8]:
    """One picture (side, side, 3) uint8 of `kind`."""
    v, u = np.mgrid[0:side, 0:side] / side
    period, shift = random.uniform(0.2, 0.35), random.uniform(0, 1)
    dv, du = v - random.uniform(0.4, 0.6), u - random.uniform(0.4, 0.6)
    radius = np.hypot(dv, du)
    size = random.uniform(0.2, 0.35)
    rows, columns = ((axis / period + shift) % 1 < 0.5 for axis in (v, u))
    drawn = {
        "rows": rows,
        "columns": columns,
        "checks": rows ^ columns,
        "disc": radius < size,
        "ring": np.abs(radius - size) < 0.07,
        "cross": np.minimum(np.abs(dv), np.abs(du)) < size / 4,
    }[kind]
    ink, paper = random.uniform(0, 255, (2, 3))
    rgb = np.where(drawn[..., None], ink, paper) + random.normal(0, 8, (side, side, 1))
    return np.clip(rgb, 0, 255).astype(np.uint8)


def write_photos(folder: Path, count: int, *, side: int = 32, seed: int = 0) -> dict[str, str]:
    """Writes `count` JPEGs into `folder`, kinds in turn, some in a sub-folder `drafts`; returns path -> kind."""
    random = np.random.default_rng(seed)
    kinds: dict[str, str] = {}
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        name = f"drafts/{number:03d}.jpg" if number % 10 == 9 else f"{number:03d}.jpg"
        name = {0: "beach.jpg", 1: "forest.jpg", 2: "harbour.jpg"}.get(number, name)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(kind, random, side)).save(path, quality=92)
        kinds[name] = kind
    return kinds

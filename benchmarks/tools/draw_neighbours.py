"""The two pictures of docs/neighbours.md, from made-up features: what the steps do, and what several clusterings add.

python benchmarks/tools/draw_neighbours.py docs/images
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from sightbook.codes.products import clusterings
from sightbook.codes.tables import assign, tables
from sightbook.describe import learn as learning
from sightbook.describe.nearest import neighbours
from sightbook.describe.vectors import unit


def steps(path: Path) -> None:
    """Six kinds of pictures that differ in some directions, and vary twice as much in others that say nothing."""
    random = np.random.default_rng(4)
    telling, idle = random.normal(size=(5, 40)), random.normal(size=(5, 40))
    kinds = np.repeat(np.arange(6), 40)
    f = random.normal(size=(6, 5))[kinds] @ telling + 1.4 * random.normal(size=(240, 5)) @ idle
    f += 0.1 * random.normal(size=f.shape) - f.min()
    u = unit(f)
    x = unit(u - u.mean(axis=0))
    strength = learning.learn(f).strength
    y = x
    for _ in range(2):
        places, _ = neighbours(y, 4)
        whitening = learning.learn_whitening(x, np.arange(240), places, strength.whitening)
        y = learning._mapped(x, whitening)
    (whole,) = learning.learn_weights(x, 4, [strength], learning.SEED)
    z = learning._mapped(x, whole)
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.6), layout="constrained")
    titles = ("features, centred", "local whitening", "regression to neighbours")
    for axis, rows, title in zip(axes, (x, y, z), titles, strict=True):
        places, _ = neighbours(rows, 5)
        share = (kinds[places] == kinds[:, None]).mean()
        flat = rows @ np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)[2][:2].T
        axis.scatter(*flat.T, c=kinds, cmap="Dark2", s=14)
        axis.set(title=f"{title}\n{share:.0%} of the five nearest are of one's kind", xticks=[], yticks=[])
    figure.savefig(path, dpi=110)


def ensembles(path: Path) -> None:
    """Scores of every place in a plane for one query, by codes of one, two and eight clusterings of twelve."""
    random = np.random.default_rng(2)
    points = np.concatenate([random.normal(c, 0.35, size=(60, 2)) for c in random.uniform(-2, 2, (12, 2))])
    points = points.astype(np.float32)
    query = np.array([[0.6, 0.4]], np.float32)
    grid = np.stack(np.meshgrid(np.linspace(-3, 3, 300), np.linspace(-3, 3, 300)), -1).reshape(-1, 2)
    words = clusterings(points, 8, 12)
    # Minus the squared distance: near-cosine belongs to many dimensions, where lengths hardly differ.
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.7), layout="constrained")
    for axis, M in zip(axes, (1, 2, 8), strict=True):
        codes = assign(grid.astype(np.float32), words[:M], "distance")
        entries = 2 * tables(query, words[:M]) - (words[:M] ** 2).sum(axis=2)
        scores = sum(entries[0, m, codes[:, m]] for m in range(M))
        axis.imshow(scores.reshape(300, 300), origin="lower", extent=(-3, 3, -3, 3), cmap="viridis")
        axis.scatter(*points.T, s=2, c="white", alpha=0.5)
        axis.scatter(*query.T, marker="*", s=120, c="red")
        different = len(np.unique(assign(points, words[:M], "distance"), axis=0))
        axis.set(
            title=f"{M} clustering{'s' if M > 1 else ''} of 12: {different} different codes",
            xticks=[],
            yticks=[],
        )
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    steps(folder / "neighbours-steps.png")
    ensembles(folder / "neighbours-clusterings.png")

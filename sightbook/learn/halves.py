"""How good are codes, floats, thumbnails, when no label tells? Do both halves of a picture know the same others?

Each of some pictures is cut into a left and a right half, and each half gets light and colours of its own, half of them
none. Among all left halves each picture has ten nearest others, among all right halves ten; the share that is in both
is its agreement. What a half shows of colour, light and single things says nothing about the other half any more; what
a picture is about does. So, unlike the share of random views that find their own picture again, the measure puts
networks in the order of mAP, whether they were trained on such views or not (docs/verdict.md, docs/log.md).

Data flow: pixels (n, R, R, 3) uint8 → `cut` → any encoder, on both → scores (n, n) → `agreement` → `Share`, `compare`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightbook.codes import oracle
from sightbook.codes.tables import Metric, assign, tables
from sightbook.images.pixels.recolour import recolour, stretch
from sightbook.images.pixels.thumbnail import thumbnail

NEAREST = 10
PICTURES = 300  # judged by, at most
LEAST = 30  # of fewer, ten are a third and more: chance would agree, too
_SEED = 20_261_127
_DRAWS = 1000

Pixels = NDArray[np.uint8]
Scores = NDArray[np.float32]
Encoder = Callable[[Pixels], Scores]  # one half of each picture (n, R, R, 3) → how alike they are, (n, n)


@dataclass(frozen=True)
class Share:
    """The mean agreement, 0..1, with the middle 95 % of a bootstrap over pictures; chance: what random order has."""

    mean: float
    low: float
    high: float
    chance: float


def cut(pictures: Pixels) -> tuple[Pixels, Pixels]:
    """Pictures (n, R, R, 3) → their left and right halves, each stretched to a square, in colours of its own; a
    function of the pictures alone."""
    middle = pictures.shape[2] // 2
    sides: list[list[Pixels]] = [[], []]
    for number, picture in enumerate(pictures):
        random = np.random.default_rng((_SEED, number))
        for side, half in zip(sides, (picture[:, :middle], picture[:, -middle:]), strict=True):
            side.append(recolour(stretch(half, picture.shape[1], picture.shape[0]), random))
    return np.stack(sides[0]), np.stack(sides[1])


def agreement(left: Scores, right: Scores) -> NDArray[np.float64]:
    """Scores (n, n) of the left halves among themselves and of the right ones → share (n,) of the ten nearest others
    that a picture has in both. Of fewer than 30 pictures a third as many are asked for."""
    k = nearest_of(len(left))
    one, other = _nearest(left, k), _nearest(right, k)
    found: NDArray[np.float64] = (one[:, :, None] == other[:, None, :]).sum(axis=(1, 2)) / k
    return found


def nearest_of(n: int) -> int:
    """How many of the nearest are looked at among n pictures."""
    return min(NEAREST, max(1, (n - 1) // 3))


def share(found: NDArray[np.float64]) -> Share:
    """The mean of agreements (n,), and its interval."""
    low, high = np.quantile(_resample(found), (0.025, 0.975))
    n = len(found)
    return Share(float(found.mean()), float(low), float(high), nearest_of(n) / max(1, n - 1))


def compare(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, float]:
    """The middle 95 % of a paired bootstrap of the mean of `one` - `other`, agreements (n,) of the same pictures."""
    low, high = np.quantile(_resample(one - other), (0.025, 0.975))
    return float(low), float(high)


def by_floats(features: Callable[[Pixels], NDArray[np.floating[Any]]]) -> Encoder:
    """Halves → cosines of the centred features."""

    def scores(half: Pixels) -> Scores:
        x = np.asarray(features(half), np.float32)
        x = x - x.mean(axis=0)
        x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
        return np.asarray(x @ x.T, np.float32)

    return scores


def by_codes(
    embed: Callable[[Pixels], NDArray[np.float32]], codebooks: NDArray[np.float32], metric: Metric
) -> Encoder:
    """Halves → asymmetric scores of each half with the codes of all."""

    def scores(half: Pixels) -> Scores:
        x = embed(half)
        codes = assign(x, codebooks, metric)
        return np.stack([oracle.score(table, codes) for table in tables(x, codebooks, metric)])

    return scores


def once(features: Callable[[Pixels], NDArray[np.float32]]) -> Callable[[Pixels], NDArray[np.float32]]:
    """The same, computed once for each array it is asked about: several encoders may begin with one network."""
    known: dict[int, tuple[Pixels, NDArray[np.float32]]] = {}

    def found(half: Pixels) -> NDArray[np.float32]:
        if id(half) not in known:
            known[id(half)] = half, features(half)  # the array is kept, so that no other gets its number
        return known[id(half)][1]

    return found


def thumbnails(half: Pixels) -> Scores:
    """What colour thumbnails say, as floats: the strongest form of them."""
    return by_floats(lambda pixels: np.stack([thumbnail(each) for each in pixels]))(half)


def resize(pictures: Pixels, side: int) -> Pixels:
    """Pictures (n, R, R, 3) → (n, side, side, 3)."""
    if pictures.shape[1] == side:
        return pictures
    return np.stack([stretch(each, side, side) for each in pictures])


def _nearest(scores: Scores, k: int) -> NDArray[np.int64]:
    """(n, k): the others of the best scores, ties by number."""
    ranked = scores.copy()
    np.fill_diagonal(ranked, -np.inf)
    return np.argsort(-ranked, axis=1, kind="stable")[:, :k]


def _resample(values: NDArray[np.float64]) -> NDArray[np.float64]:
    rows = np.random.default_rng(_SEED).integers(len(values), size=(_DRAWS, len(values)))
    means: NDArray[np.float64] = values[rows].mean(axis=1)
    return means

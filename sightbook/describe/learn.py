"""Learning a description from a collection's own neighbourhoods, in closed form.

With x = unit(unit(f) − mean) and N(x) the k nearest others of x by cosine:

1. local whitening: S = mean over x and n in N(x) of (x − n)(x − n)ᵀ, W = (S + λ · tr(S)/F · I)^(−1/2), y = unit(W x).
   What differs between neighbours counts less. Neighbours are found again in y, and W learned anew from them. (Kin:
   within-class covariance normalization, Hatch and others 2006; learned whitening from matching pairs, Mikolajczyk and
   Matas 2007, Radenović and others 2018; unsupervised discriminant projection, Yang and others 2007. Pairs are
   neighbours here.)
2. regression to neighbours: R = ridge regression (μ times the mean variance) from y to (1 − o) · mean of N(y) + o · y,
   z = unit(R y). (Kin: database-side augmentation, Turcot and Lowe 2009, made a linear map, so that new pictures and
   queries go the same way.)
3. the first d principal components of z.

All three are linear up to length, so they are one map (`Description`). How strong 1 and 2 should be depends on the
collection (`Strength`), and is chosen without labels. docs/neighbours.md tells what each gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightbook.codes.tables import Floats
from sightbook.describe.description import Description
from sightbook.describe.linear import Doubles, eigh, solve
from sightbook.describe.nearest import distinct, neighbours, without_copies
from sightbook.describe.vectors import balance, checked, unit
from sightbook.errors import ConfigError

# Rows that are looked at, and rows whose neighbours (among those) are learned from: more of either changes little.
BANK, ANCHORS = 131_072, 20_000
NUMBERS = 256  # of a description, at most
_NEIGHBOURS = 4
_ROUNDS = 2  # local whitenings, each from the neighbours that the one before found
AGREEMENT, _COMPARED = 2_500, 10  # pictures that the strength is chosen by, and neighbours that are compared
_SPLITS = 2  # into halves of the features: by one alone the choice depends on the draw
# Half the features want so many times the whitening that all of them want, measured on mix (docs/neighbours.md).
_OF_HALVES = 10 / 3
SEED = 1234
ROWS = 8_192  # in a product


@dataclass(frozen=True)
class Strength:
    """whitening λ: small takes out all that neighbours differ in, large leaves it. ridge μ: large keeps to the few
    directions that neighbours share most; own o: the part of itself in what a picture is drawn to."""

    whitening: float = 0.3
    ridge: float = 0.3
    own: float = 0.3

    def __str__(self) -> str:
        return f"whitening {self.whitening:g}, ridge {self.ridge:g}, own {self.own:g}"


# What is tried: small classes want the first kind of regression, large ones the second.
STRENGTHS = tuple(
    Strength(whitening, *regression)
    for regression in ((0.3, 0.3), (1.0, 0.5))
    for whitening in (0.1, 0.3, 1.0)
)


@dataclass(frozen=True)
class Learned:
    """A description, and what it was learned from: rows looked at, distinct ones among them, how strongly.

    agreement: by strength, the share of neighbours that two descriptions of different features have in common; empty
    where the strength was given or there were too few rows. before: the same share of those features as they are.
    """

    description: Description
    rows: int
    distinct: int
    strength: Strength
    agreement: dict[Strength, float]
    before: float | None = None


def learn(
    features: Any,
    *,
    d: int = NUMBERS,
    k: int = _NEIGHBOURS,
    strength: Strength | None = None,
    seed: int = SEED,
) -> Learned:
    """Features (N, F), any floats, a mapped array too → a description of min(d, F) numbers.

    At most BANK rows, drawn by `seed`, are looked at. Copies count once. strength: None tries STRENGTHS and takes the
    one under which two disjoint halves of the features agree most about who is whose neighbour. Of one picture, or of
    copies of one, a description is made that tells nothing apart.

    Raises ConfigError for vectors that are not finite or of no length, and for settings that are not above 0.
    """
    if d < 1 or k < 1 or (strength is not None and not (strength.whitening > 0 and strength.ridge > 0)):
        raise ConfigError(f"d {d}, k {k} and strength ({strength}) must be above 0")
    every = checked(features)
    looked = sample(np.arange(len(every)), BANK, seed)
    # All that is as large as the rows is made in place, block by block: at most two such arrays are held at once.
    x = _take(every, looked[distinct(every[place] for place in looked)])
    scale = balance(x)
    centre = _centre_rows(x, scale)
    kept = without_copies(x)
    if len(kept) < len(x):
        x = x[kept]
    agreement: dict[Strength, float] = {}
    before: float | None = None
    if strength is None:
        agreement, before = _agreement(x, k, seed)
        strength = max(agreement, key=lambda tried: agreement[tried]) if agreement else Strength()
    (weights,) = learn_weights(x, k, [strength], seed)
    z = _mapped(x, weights)
    axes = eigh(_scatter(z))[1][:, ::-1][:, : min(d, z.shape[1])]
    # The sign of an axis is arbitrary: its largest number is made positive.
    axes = axes * np.sign(np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], 0))
    whole = np.ascontiguousarray(weights @ axes, np.float32)
    middle = _mapped(x, whole).mean(axis=0, dtype=np.float64).astype(np.float32)
    return Learned(
        Description(scale, centre, whole, middle), len(looked), len(x), strength, agreement, before
    )


def sample(rows: NDArray[Any], count: int, seed: int) -> NDArray[Any]:
    """At most `count` of the rows, drawn by `seed`, in their order."""
    if len(rows) <= count:
        return rows
    return rows[np.sort(np.random.default_rng(seed).choice(len(rows), count, replace=False))]


def _take(rows: NDArray[Any], places: NDArray[np.int64]) -> Floats:
    """Some of the rows (N, F), as float32."""
    out = np.empty((len(places), rows.shape[1]), np.float32)
    for start in range(0, len(places), ROWS):
        out[start : start + ROWS] = rows[places[start : start + ROWS]]
    return out


def _centre_rows(x: Floats, scale: Floats) -> Floats:
    """Rows x (N, F) become unit(unit(s · f) − μ), in place. Returns μ (F,)."""
    total = np.zeros(x.shape[1])
    for start in range(0, len(x), ROWS):
        some = x[start : start + ROWS]
        some[:] = unit(some * scale)
        total += some.sum(axis=0, dtype=np.float64)
    centre = (total / len(x)).astype(np.float32)
    for start in range(0, len(x), ROWS):
        some = x[start : start + ROWS]
        some[:] = unit(some - centre)
    return centre


def learn_weights(x: Floats, k: int, strengths: Sequence[Strength], seed: int) -> list[Doubles]:
    """The map (F, F) of local whitening and regression for each of the strengths, which share one whitening; x (N, F)
    of length 1."""
    if len(x) < 3:  # a picture and its only neighbour say nothing about others
        return [np.eye(x.shape[1]) for _ in strengths]
    k = min(k, len(x) - 1)
    anchors = sample(np.arange(len(x)), ANCHORS, seed)
    places, _ = neighbours(x, k, anchors)
    whitening = learn_whitening(x, anchors, places, strengths[0].whitening)
    for _ in range(_ROUNDS - 1):
        places, _ = neighbours(_mapped(x, whitening), k, anchors)
        whitening = learn_whitening(x, anchors, places, strengths[0].whitening)
    y = _mapped(x, whitening)
    places, _ = neighbours(y, k, anchors)
    maps = [whitening @ regress(y, anchors, places, strength) for strength in strengths]
    return [shrink(x[anchors], each, len(x)) for each in maps]


def learn_whitening(
    x: Floats, anchors: NDArray[np.int64], places: NDArray[np.int64], strength: float
) -> Doubles:
    """W (F, F) = (S + λ · tr(S)/F · I)^(−1/2) of rows x (N, F); places (n, k): the neighbours of anchors (n,).

    Σ (x − n)(x − n)ᵀ over all pairs is Xᵀ X weighted by how often a row takes part, less XᵀN + NᵀX, N the sums of
    neighbours: two products, however many neighbours there are.
    """
    F, k = x.shape[1], places.shape[1]
    part = np.bincount(places.ravel(), minlength=len(x)).astype(np.float32)
    part[anchors] += k
    taking = np.flatnonzero(part)
    S = np.zeros((F, F))
    for start in range(0, len(taking), ROWS):
        some = taking[start : start + ROWS]
        S += (x[some] * part[some, None]).T @ x[some]
    cross = _cross(x, x, anchors, places)
    S = (S - cross - cross.T) / places.size
    mean = max(float(np.trace(S)) / F, 1e-12)
    values, vectors = eigh(S)
    scaled = vectors / np.sqrt(np.maximum(values, 0) + strength * mean)
    return np.asarray(scaled @ vectors.T * np.sqrt(mean))


def regress(y: Floats, anchors: NDArray[np.int64], places: NDArray[np.int64], strength: Strength) -> Doubles:
    """R (F, F): ridge regression from y (N, F) to (1 − o) · mean of its neighbours + o · y; places (n, k): those of
    anchors (n,)."""
    F = y.shape[1]
    G = np.zeros((F, F))
    for start in range(0, len(anchors), ROWS):
        some = y[anchors[start : start + ROWS]]
        G += some.T @ some
    target = (1 - strength.own) * _cross(y, y, anchors, places) / places.shape[1] + strength.own * G
    mean = max(float(np.trace(G)) / F, 1e-12)
    return solve(G + strength.ridge * mean * np.eye(F), target)


def shrink(x: Floats, weights: Doubles, pictures: int) -> Doubles:
    """The map (F, F), drawn towards leaving x (N, F) as it is: of as many pictures as numbers it counts half.

    Few pictures show few neighbours; a map learned elsewhere in place of none was worse (docs/neighbours.md).
    """
    size = sum(float(np.square(x[start : start + ROWS] @ weights).sum()) for start in range(0, len(x), ROWS))
    gain = np.sqrt(size / max(float(np.square(x).sum(dtype=np.float64)), 1e-12))
    trust = pictures / (pictures + len(weights))
    return np.asarray(trust * weights + (1 - trust) * gain * np.eye(len(weights)))


def _cross(x: Floats, near: Floats, anchors: NDArray[np.int64], places: NDArray[np.int64]) -> Doubles:
    """Σ over anchors of x · (sum of its neighbours)ᵀ, (F, F)."""
    total = np.zeros((x.shape[1], near.shape[1]))
    for start in range(0, len(anchors), ROWS):
        some = places[start : start + ROWS]
        sums = near[some[:, 0]].copy()
        for j in range(1, some.shape[1]):
            sums += near[some[:, j]]
        total += x[anchors[start : start + ROWS]].T @ sums
    return total


def _agreement(x: Floats, k: int, seed: int) -> tuple[dict[Strength, float], float | None]:
    """By strength: how many of a picture's nearest others are the same by descriptions of two disjoint halves of the
    features.

    Each half is described by itself, so only what both show of the pictures can agree. The second is the share by the
    halves as they are.
    """
    some = sample(x, AGREEMENT, seed)
    # Of so few pictures little of what is learned counts, whichever strength: its choice would cost the most.
    if len(some) < max(10 * _COMPARED, min(AGREEMENT, x.shape[1] // 2)) or x.shape[1] < 16:
        return {}, None
    random = np.random.default_rng(seed)
    found, before = dict.fromkeys(STRENGTHS, 0.0), 0.0
    for _ in range(_SPLITS):
        halves = np.array_split(random.permutation(x.shape[1]), 2)
        parts = [unit(some[:, np.sort(half)]) for half in halves]
        before += count_shared(parts) / _SPLITS
        for whitening in sorted({each.whitening for each in STRENGTHS}):
            alike = [each for each in STRENGTHS if each.whitening == whitening]
            stronger = [replace(each, whitening=_OF_HALVES * whitening) for each in alike]
            maps = [learn_weights(part, k, stronger, seed) for part in parts]
            for strength, *both in zip(alike, *maps, strict=True):
                seen = [_mapped(part, each) for part, each in zip(parts, both, strict=True)]
                found[strength] += count_shared(seen) / _SPLITS
    return found, before


def count_shared(parts: Sequence[Floats]) -> float:
    """The share of its nearest others that a row has by both of two descriptions (N, d), between 0 and 1."""
    one, two = (neighbours(part, _COMPARED)[0] for part in parts)
    return float((one[:, :, None] == two[:, None, :]).any(axis=2).mean())


def _mapped(x: Floats, weights: Doubles | Floats) -> Floats:
    """unit(x W), block by block."""
    W = np.ascontiguousarray(weights, np.float32)
    y = np.empty((len(x), W.shape[1]), np.float32)
    for start in range(0, len(x), ROWS):
        y[start : start + ROWS] = unit(x[start : start + ROWS] @ W)
    return y


def _scatter(x: Floats) -> Doubles:
    """Σ (x − mean)(x − mean)ᵀ, (F, F)."""
    mean, total = x.mean(axis=0), np.zeros((x.shape[1], x.shape[1]))
    for start in range(0, len(x), ROWS):
        some = x[start : start + ROWS] - mean
        total += some.T @ some
    return total

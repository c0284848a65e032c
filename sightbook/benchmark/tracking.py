"""How well a criterion without labels follows mAP: what may be compared, and the rank correlation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightbook.benchmark.results import Results

Point = dict[str, Any]
_FEWEST = 3


def criteria(verdict: Mapping[str, Any]) -> dict[str, float | None]:
    """What a model's verdict says without labels, None for what it does not: learning by steps is judged on views of
    held-out pictures, learning in closed form by how far two halves of the features agree."""
    trained = verdict.get("trained", {})
    found = {name: trained.get(name) for name in ("recall_at_1", "perplexity", "loss")}
    return {**found, "agreement": verdict.get("agreement")}


def points_of(found: Results) -> dict[str, list[list[Point]]]:
    """Groups of points {recall_at_1, perplexity, loss, agreement, map}.

    Within a run: the snapshots of its training, for choosing when to stop. Between settings: runs of one method at one
    length and seed, for choosing settings. A loss means nothing across settings, so it is None there.
    """
    runs = list(found.runs.values())
    within = [[dict(point) for point in run["over_time"]] for run in runs if len(run["over_time"]) >= _FEWEST]
    groups: dict[tuple[str, int, int], list[Point]] = {}
    for run in runs:
        point = {**criteria(run["verdict"]), "loss": None, "map": run["map"]}
        groups.setdefault((run["method"], run["bits"], run["seed"]), []).append(point)
    between = [group for group in groups.values() if len(group) >= _FEWEST]
    named = {"snapshots of one run": within, "settings of one method": between}
    return {title: found_groups for title, found_groups in named.items() if found_groups}


def spearman(x: Sequence[float | None], y: Sequence[float]) -> float | None:
    """Spearman's rank correlation, mean ranks for ties; None where it is not defined (few or constant values)."""
    pairs = [(a, b) for a, b in zip(x, y, strict=True) if a is not None]
    if len(pairs) < _FEWEST:
        return None
    first, second = (_ranks([pair[i] for pair in pairs]) for i in (0, 1))
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / scale if scale > 0 else None


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    """Ranks from 0; equal values share the mean of theirs."""
    array = np.asarray(values, np.float64)
    below = (array[:, None] > array[None, :]).sum(axis=1)
    equal = (array[:, None] == array[None, :]).sum(axis=1)
    ranks: NDArray[np.float64] = below + (equal - 1) / 2
    return ranks

"""What the benchmarks of descriptions share: features of a labelled collection, scores of codes, a judged row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sightbook.cli.show import showing
from sightbook.codes.products import SEED
from sightbook.evaluate.judge import judge
from sightbook.evaluate.protocols import protocol
from sightbook.evaluate.ranking import rank
from sightbook.evaluate.reading import read
from sightbook.evaluate.relevance import Truth
from sightbook.model.model import Model

R, ROUNDS = 100, 2000


@dataclass
class Row:
    """The figures of one ranking: ap, P@1 and P@10 (Q,) of each query; by: mAP of parts of the queries."""

    name: str
    ap: Any
    first: Any
    ten: Any
    by: dict[str, float] = field(default_factory=dict)

    @classmethod
    def mean(cls, rows: Sequence[Row]) -> Row:
        """The mean, query by query, of rows of one name."""
        ap, first, ten = (
            np.mean([getattr(row, name) for row in rows], axis=0) for name in ("ap", "first", "ten")
        )
        by = {part: float(np.mean([row.by[part] for row in rows])) for part in rows[0].by}
        return cls(rows[0].name, ap, first, ten, by)

    def text(self) -> str:
        """One line of the table."""
        parts = "  ".join(f"{name} {value:.3f}" for name, value in self.by.items())
        return f"{self.name:52} {interval(self.ap)}  P@1 {self.first.mean():.3f}  P@10 {self.ten.mean():.3f}  {parts}"

    def difference(self, base: Row) -> str:
        """mAP minus that of another row."""
        return interval(self.ap - base.ap, sign="+")

    def to_json(self, base: Row | None) -> dict[str, Any]:
        """Plain numbers."""
        facts: dict[str, Any] = {"name": self.name}
        for name, values in (("map", self.ap), ("p1", self.first), ("p10", self.ten)):
            facts[name] = round(float(values.mean()), 4)
            facts[f"{name}_interval"] = [round(each, 4) for each in bounds(values)]
        if base is not None:
            facts["minus_default"] = [round(float((self.ap - base.ap).mean()), 4)]
            facts["minus_default"] += [round(each, 4) for each in bounds(self.ap - base.ap)]
        return facts | {name: round(value, 4) for name, value in self.by.items()}


def bounds(values: Any) -> tuple[float, float]:
    """The middle 95 % of the means of a bootstrap over the queries (Efron 1979)."""
    drawn = np.random.default_rng(5).integers(len(values), size=(ROUNDS, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def interval(values: Any, sign: str = "") -> str:
    low, high = bounds(values)
    return f"{values.mean():{sign}.4f} [{low:{sign}.3f}, {high:{sign}.3f}]"


@dataclass
class Collection:
    """Features asked (Q, F) and stored (N, F) float32 in the order of the content, and what is relevant."""

    asked: Any
    stored: Any
    truth: Truth
    parts: Any

    def judge(self, name: str, scores: Any) -> Row:
        """The row of scores (Q, N)."""
        scores = np.ascontiguousarray(scores, np.float32)
        found = judge(
            lambda start, stop, depth, junk: rank(scores[start:stop], depth, junk),
            self.truth, name="hits-in-top-R", R=R, jobs=1,
        )  # fmt: skip
        by = {}
        if self.parts is not None:
            by = {str(part): float(found.ap[self.parts == part].mean()) for part in np.unique(self.parts)}
        return Row(name, found.ap, found.precision[1], found.precision[10], by)


def read_collection(
    model: str, photos: Path, labels: Path, *, junk: str | None, by: str | None, keep: Path | None
) -> Collection:
    """The labelled pictures through the encoder of a described model; `keep` saves reading them again."""
    split = protocol("labelled").load(photos, labels, junk)
    if keep is not None and keep.exists():
        kept = np.load(keep, allow_pickle=False)
        asked, stored = kept["asked"], kept["stored"]
        places = {name: [split.queries, split.database][i] for i, name in enumerate(("queries", "database"))}
        queries, database = (
            [places[name][place] for place in kept[name]] for name in ("queries", "database")
        )
    else:
        with showing() as listener:
            reading = read(split, [Model.open(model)], jobs=None, listener=listener, features=True)
        assert reading.query_features is not None and reading.features is not None
        asked, stored = reading.query_features, reading.features
        queries, database = reading.queries, reading.database
        if keep is not None:
            where = [
                {picture.entry.key: i for i, picture in enumerate(part)}
                for part in (split.queries, split.database)
            ]
            order = [
                [at[picture.entry.key] for picture in part]
                for at, part in zip(where, (queries, database), strict=True)
            ]
            np.savez(keep, asked=asked, stored=stored, queries=order[0], database=order[1])
    groups = (
        (None, None)
        if junk is None
        else tuple([p.metadata[junk] for p in part] for part in (queries, database))
    )
    truth = Truth.of([p.labels for p in queries], [p.labels for p in database], *groups)
    return Collection(
        asked, stored, truth, None if by is None else np.array([p.metadata[by] for p in queries])
    )


def score_codes(tables: Any, codes: Any) -> Any:
    """Σ_m tables[q, m, code_m], (Q, N)."""
    return sum(tables[:, m][:, codes[:, m]] for m in range(codes.shape[1]))


def halves(asked: Any, stored: Any, M: int, count: int, *, same: bool = False, seed: int = SEED) -> Any:
    """Scores (Q, N) of near-cosine codes whose codebooks see principal components of random halves of the numbers (as
    RCQ begins over a frozen network); same: all k-means begin from the same pictures, as they did before."""
    import faiss

    random = np.random.default_rng(seed)
    mean = stored.mean(axis=0)
    total = 0
    for m in range(M):
        if m % 2 == 0:
            cut = np.array_split(random.permutation(stored.shape[1]), 2)
        part = np.sort(cut[m % 2])
        x, q = (stored - mean)[:, part], (asked - mean)[:, part]
        axes = np.linalg.eigh((x.T @ x).astype(float))[1][:, ::-1][:, :count].astype(np.float32)
        x, q = np.ascontiguousarray(x @ axes), q @ axes
        means = faiss.Kmeans(
            x.shape[1], 256, niter=25, seed=seed + (0 if same else m), min_points_per_centroid=1
        )
        means.train(x)
        words = means.centroids
        bias = 0.25 * (words**2).sum(axis=1)
        total = total + (q @ words.T - bias)[:, (x @ words.T - bias).argmax(axis=1)]
    return total

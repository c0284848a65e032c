"""How a ranking is judged: the four average precisions of the field, precision at N, and what chance would give.

A ranking arrives as hits (Q, depth) bool, hits[q, j] telling whether the picture at rank j+1 is relevant; junk has
already been taken out of it. r (Q,) int64 counts the relevant pictures of each query in the whole database.
All figures are float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightbook.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Definition:
    """One meaning of "average precision". `whole` says that it looks at the full ranking and takes no R."""

    name: str
    sentence: str
    whole: bool


# The field uses four and rarely says which; figures of different definitions must never share a table.
DEFINITIONS = {
    definition.name: definition
    for definition in (
        Definition(
            "hits-in-top-R", "mean precision at the hits in the top R, divided by the hits found there", False
        ),
        Definition(
            "relevant-with-cutoff",
            "precision at the hits in the top R, divided by all relevant pictures",
            False,
        ),
        Definition(
            "trapezoid", "area under precision and recall by trapezoids, full ranking (Oxford/Paris)", True
        ),
        Definition("full-ranking", "mean precision at every relevant picture, full ranking", True),
    )
}
DEFAULT = "hits-in-top-R"


def definition(name: str) -> Definition:
    """The definition of that name; ConfigError lists the names."""
    try:
        return DEFINITIONS[name]
    except KeyError:
        raise ConfigError(
            f"unknown definition of average precision {name!r}: use one of {', '.join(DEFINITIONS)}"
        ) from None


def check_cut(R: int | None, name: str) -> None:
    """ConfigError when a ranking that is judged by the definition `name` cannot be cut at R."""
    if R is not None and definition(name).whole:
        raise ConfigError(f"{name} judges the full ranking: leave R out")


def average_precision(
    hits: NDArray[np.bool_], r: NDArray[np.int64], name: str = DEFAULT, R: int | None = None
) -> NDArray[np.float64]:
    """AP (Q,) of each query. A query without a hit, or without relevant pictures, counts 0.

    R cuts the ranking for the two definitions that have a cut-off (default: all of it); the other two need hits
    over the whole database and ignore R.
    """
    whole = definition(name).whole
    top = hits if whole or R is None else hits[:, :R]
    ranks = np.arange(1, top.shape[1] + 1, dtype=np.float64)
    found = np.cumsum(top, axis=1, dtype=np.float64)
    terms = found / ranks  # precision at each rank
    if name == "trapezoid":
        before = np.ones_like(terms)  # precision one rank earlier; 1 at the start, as in the Oxford script
        before[:, 1:] = terms[:, :-1]
        terms = (terms + before) / 2
    total = np.where(top, terms, 0.0).sum(axis=1)
    divisor = top.sum(axis=1) if name == "hits-in-top-R" else r
    ap = np.zeros(len(top))
    np.divide(total, divisor, out=ap, where=divisor > 0)
    return ap


def precision_at(hits: NDArray[np.bool_], n: int) -> NDArray[np.float64]:
    """Share of relevant pictures among the first n, (Q,); ranks that do not exist count as misses."""
    share: NDArray[np.float64] = hits[:, :n].sum(axis=1, dtype=np.float64) / n
    return share


def expected_average_precision(r: int, n: int, name: str = DEFAULT, R: int | None = None) -> float:
    """Expected AP of a random order of n pictures of which r are relevant.

    Given h hits among the first R, each of the R ranks is a hit with chance h/R, and before a hit at rank j stand
    (j-1)(h-1)/(R-1) others on average. Summed over j the precisions at the hits come to
    h·(a + b(h-1)) with a = H_R/R, b = (R - H_R)/(R(R-1)), H_R the harmonic number; h is hypergeometric.
    """
    whole = definition(name).whole
    R = n if whole or R is None else min(R, n)
    if r == 0 or n == 0:
        return 0.0
    harmonic = math.fsum(1 / j for j in range(1, R + 1))
    a = harmonic / R
    b = (R - harmonic) / (R * (R - 1)) if R > 1 else 0.0
    if name == "hits-in-top-R":
        some = 1 - _chance_of_none(r, n, R)
        return a * some + b * (R * r / n - some)
    pairs = R * (R - 1) * r * (r - 1) / (n * (n - 1)) if n > 1 else 0.0  # expected h(h-1)
    mean = (a * R * r / n + b * pairs) / r
    if name == "trapezoid":
        # The precision one rank before a hit averages r/n: 1 at the first rank, (r-1)/(n-1) at every other.
        return (mean + r / n) / 2
    return mean


def _chance_of_none(r: int, n: int, R: int) -> float:
    """Chance that R of n pictures, drawn without putting back, hold none of the r relevant ones."""
    if n - r < R:
        return 0.0
    return math.exp(
        math.lgamma(n - r + 1) - math.lgamma(n - r - R + 1) - math.lgamma(n + 1) + math.lgamma(n - R + 1)
    )

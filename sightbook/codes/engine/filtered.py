"""Search among some of the rows: gathered and scored when they are few, sifted out of faiss's candidates when many.

faiss's quantizing indexes take no filter, so many kept rows are found by asking for more candidates than are wanted, as
many more as rows are left out, and by the engine's own certificate: exact whatever the filter has to do with the query.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sightbook.codes.engine.exact import Exact
from sightbook.codes.engine.groups import Groups
from sightbook.codes.engine.prefixes import Prefixed
from sightbook.codes.engine.sieve import margins
from sightbook.codes.ranking import Keys, keys, scores_of
from sightbook.codes.tables import Floats

# Up to this share of the rows scoring all of them costs less than the candidates for the rest (1M codes of 64 bits).
GATHER = 0.04
_NEVER = np.int64(np.iinfo(np.int64).max)  # a key that sorts behind every row's


@dataclass(frozen=True)
class Chosen:
    """Some of an engine's rows, ascending: made once, for any number of searches. count: rows there are in all; engine:
    a mark of whose rows; groups: those of the rows, where the engine searches groups of equal codes."""

    rows: NDArray[np.int64]
    count: int
    engine: object
    groups: Groups | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """(count,) bool: whether a row is among them."""
        mask = np.zeros(self.count, np.bool_)
        mask[self.rows] = True
        return mask


def search(rows: Exact, tables: Floats, k: int, chosen: Chosen) -> Keys:
    """The k best of the chosen rows (at least k of them) for tables (b, M, K): sorted keys (b, k)."""
    kept = chosen.rows
    sieve = rows.sieve
    if sieve is None or len(kept) <= GATHER * len(rows):
        return rows.stored.among(tables, k, kept)
    margin = margins(tables)
    if min(margin) == math.inf:
        return rows.stored.among(tables, k, kept)
    if isinstance(sieve, Prefixed):
        return sieve.search(tables, k, margin, chosen.mask, len(kept) / len(rows))
    found = np.empty((len(tables), k), np.int64)
    left = np.arange(len(tables))
    share = len(kept) / len(rows)
    c = sieve.first(math.ceil(1.15 * k / share)) + 16
    while len(left):
        # Scoring a candidate costs as much as two or three gathered rows.
        if 3 * c > len(kept) or 4 * c > len(rows):
            found[left] = rows.stored.among(tables[left], k, kept)
            break
        candidates, approximate = sieve.candidates(tables[left], c)
        scores = rows.stored.scores(tables[left], candidates)
        every = np.where(chosen.mask[candidates] & (candidates >= 0), keys(scores, candidates), _NEVER)
        every = np.partition(every, k - 1, axis=1)[:, :k]
        every.sort(axis=1)
        last = every[:, -1]
        certain = (last != _NEVER) & (candidates[:, -1] >= 0)
        worst = approximate[:, -1].astype(np.float64)
        certain &= scores_of(last).astype(np.float64) > worst + np.array(margin)[left]
        found[left[certain]] = every[certain]
        left = left[~certain]
        c = sieve.more(c)
    return found

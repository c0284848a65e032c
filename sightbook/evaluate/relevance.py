"""Which database pictures are right answers to a query, and which are junk.

Labels are coded once: one class number per picture when every picture has exactly one label, a row of bits when
pictures can have several; two pictures belong together when they share at least one. Junk pictures carry the query's
own value in some metadata column (the same sender, the same scene): neither right nor wrong, taken out of its ranking.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
from numpy.typing import NDArray

Labels = Collection[str]  # of one picture, at least one


@dataclass(frozen=True)
class Truth:
    """What the labels say about Q queries and N database pictures in id order.

    query, database: class numbers (Q,), (N,) int64, or bit sets (Q, W), (N, W) uint64, word by word in
    memory. query_group, database_group: numbers of the junk column's values, (Q,), (N,) int64, -1 for "no value", or
    None without a junk rule.
    """

    query: NDArray[np.int64] | NDArray[np.uint64]
    database: NDArray[np.int64] | NDArray[np.uint64]
    query_group: NDArray[np.int64] | None = None
    database_group: NDArray[np.int64] | None = None

    @classmethod
    def of(
        cls,
        query: Sequence[Labels],
        database: Sequence[Labels],
        query_group: Sequence[str] | None = None,
        database_group: Sequence[str] | None = None,
    ) -> Truth:
        """Codes labels and junk values; an empty junk value belongs to no group."""
        numbers = {
            name: number
            for number, name in enumerate(sorted({n for row in (*query, *database) for n in row}))
        }
        single = all(len(row) == 1 for row in (*query, *database))
        code = _class_numbers if single else _bit_sets
        if query_group is None or database_group is None:
            return cls(code(query, numbers), code(database, numbers))
        groups = {
            value: number for number, value in enumerate(sorted({*query_group, *database_group} - {""}))
        }
        coded = [
            np.array([groups.get(value, -1) for value in part], np.int64)
            for part in (query_group, database_group)
        ]
        return cls(code(query, numbers), code(database, numbers), *coded)

    def hits(self, start: int, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each ranked picture is relevant: ids (q, depth) of the queries from `start` on; -1 is not."""
        return self._same(slice(start, start + len(ids)), np.maximum(ids, 0)) & (ids >= 0)

    def junk(self, start: int, stop: int) -> NDArray[np.bool_] | None:
        """The junk of the queries start … stop-1, (stop - start, N) bool, or None when there is no junk rule."""
        if self.query_group is None or self.database_group is None:
            return None
        group = self.query_group[start:stop, None]
        junk: NDArray[np.bool_] = (group == self.database_group) & (group >= 0)
        return junk

    @cached_property
    def counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(relevant pictures, pictures left to rank) of each query, both (Q,) int64, junk not counted.

        Queries of the same labels and the same junk value share their counts, which makes this cheap.
        """
        Q, N = len(self.query), len(self.database)
        facts = [self.query.reshape(Q, -1).view(np.int64)]
        if self.query_group is not None:
            facts.append(self.query_group[:, None])
        _, first, kind = np.unique(np.hstack(facts), axis=0, return_index=True, return_inverse=True)
        relevant, ranked = np.zeros(len(first), np.int64), np.full(len(first), N, np.int64)
        for number, q in enumerate(first.tolist()):
            same = self._same(slice(q, q + 1), slice(None))
            junk = self.junk(q, q + 1)
            if junk is not None:
                same &= ~junk
                ranked[number] -= junk.sum()
            relevant[number] = same.sum()
        return relevant[kind.ravel()], ranked[kind.ravel()]

    def _same(self, queries: slice, places: NDArray[np.int64] | slice) -> NDArray[np.bool_]:
        """Whether queries (q,) share a label with the pictures at places, (q, n) or all. One word of the bit sets after
        the other: thousands of labels then take no more memory than a few."""
        same: NDArray[np.bool_]
        if self.query.ndim == 1:
            same = self.query[queries, None] == self.database[places]
        else:
            words = zip(self.query.T, self.database.T, strict=True)
            same = reduce(
                np.logical_or, ((asked[queries, None] & stored[places]) != 0 for asked, stored in words)
            )
        return same


def _class_numbers(rows: Sequence[Labels], numbers: dict[str, int]) -> NDArray[np.int64]:
    return np.array([numbers[next(iter(row))] for row in rows], np.int64)


def _bit_sets(rows: Sequence[Labels], numbers: dict[str, int]) -> NDArray[np.uint64]:
    words = np.zeros(((len(numbers) + 63) // 64, len(rows)), np.uint64)
    for place, names in enumerate(rows):
        for name in names:
            words[numbers[name] // 64, place] |= np.uint64(1 << (numbers[name] % 64))
    return words.T

"""Packed codes where they lie, and their exact scores: no unpacked copy of a collection is ever kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightbook.codes.pack import Codes
from sightbook.codes.ranking import Keys, keys, rows_of, scores_of
from sightbook.codes.tables import Floats

CHUNK = 1 << 14  # rows scored at once: their M look-ups stay in the second-level cache

ROUNDING = 2.0**-24  # largest relative error of one float32 operation


class Stored:
    """Packed codes (N, code_bytes) uint8 of M codebooks of K codewords, not copied when C-contiguous."""

    def __init__(self, packed: Codes, M: int, K: int) -> None:
        self.packed: Codes = np.ascontiguousarray(packed)
        self.M, self.K = M, K
        self._offsets = (np.arange(M, dtype=np.intp) * K)[:, None]

    def __len__(self) -> int:
        return len(self.packed)

    def scores(self, tables: Floats, rows: NDArray[np.int64]) -> Floats:
        """Exact scores (b, c) float32 of rows (b, c) for tables (b, M, K): bit for bit those of the oracle."""
        b, c = rows.shape
        places = self._places(self.packed.take(rows.reshape(-1), axis=0))
        if b > 1:
            places += np.repeat(np.arange(b, dtype=np.intp) * (self.M * self.K), c)
        return _sum(tables, places).reshape(b, c)

    def complete(self, tables: Floats, k: int) -> Keys:
        """The k best (b, k) of all rows, whatever the tables: the slow way that cannot fail. k is at most N.

        Once k rows are known, rows that cannot reach the k-th score are left out by a sum of 65,536-entry tables, one
        for every two bytes of a code: four look-ups instead of sixteen at 64 bits (about 10 ns a row). That sum adds in
        another order, so rows within its rounding error are scored exactly.
        """
        floor: list[np.float32 | None] = [None] * len(tables)
        coarse: list[_Coarse | None] = [None] * len(tables)
        pools: list[list[Keys]] = [[] for _ in tables]
        for start in range(0, len(self), CHUNK):
            part = self.packed[start : start + CHUNK]
            whole: NDArray[np.intp] | None = None
            for q, table in enumerate(tables):
                least = floor[q]
                if least is None:
                    whole = self._places(part) if whole is None else whole
                    rows, total = np.arange(len(part)), _sum(table, whole)
                else:
                    sieve = coarse[q] = coarse[q] or _Coarse(table)
                    rows = sieve.reaching(part, least)
                    total = _sum(table, self._places(part[rows]))
                pools[q].append(keys(total, rows + start))
                if sum(map(len, pools[q])) >= k:
                    pools[q] = [smallest(np.concatenate(pools[q]), k)]
                    kth = scores_of(pools[q][0].max(keepdims=True))[0]
                    # Rows still to come have larger numbers: an equal score would not bring them in.
                    floor[q] = np.nextafter(kth, np.float32(np.inf))
        return np.stack([np.sort(np.concatenate(pool)) for pool in pools])

    def among(self, tables: Floats, k: int, kept: NDArray[np.int64]) -> Keys:
        """The k best (b, k) of the kept rows, which ascend: gathered, and scored like a collection of their own."""
        found = Stored(self.packed.take(kept, axis=0), self.M, self.K).complete(tables, k)
        # Sorted stays sorted when row numbers take the place of places in `kept`.
        return keys(scores_of(found), kept[rows_of(found)])

    def _places(self, packed: Codes) -> NDArray[np.intp]:
        # (n, code_bytes) → (M, n): where each code's entry stands in the flattened table.
        places = np.empty((self.M, len(packed)), dtype=np.intp)
        if self.K == 16:
            np.bitwise_and(packed.T, 15, out=places[0::2])
            np.right_shift(packed.T[: self.M // 2], 4, out=places[1::2])
        else:
            places[:] = packed.T
        places += self._offsets
        return places


class _Coarse:
    """Scores that are right but for rounding: one look-up for every two bytes, and one for an odd last byte."""

    def __init__(self, table: Floats) -> None:
        M, K = table.shape
        per_byte = 2 if K == 16 else 1
        singles = [_outer(table[m : m + per_byte], K) for m in range(0, M, per_byte)]
        self.pairs = [
            (high[:, None] + low[None, :]).reshape(-1)
            for low, high in zip(singles[0::2], singles[1::2], strict=False)
        ]
        self.last = singles[-1] if len(singles) % 2 else None
        # Either order of M terms errs by at most M roundings of the largest possible sum of magnitudes.
        self.slack = 2.1 * M * ROUNDING * float(np.abs(table).max(axis=1).astype(np.float64).sum())

    def reaching(self, packed: Codes, floor: np.float32) -> NDArray[np.int64]:
        """Rows of packed (n, code_bytes) whose exact score may reach the floor, ascending."""
        total = np.zeros(len(packed), dtype=np.float32)
        for w, pair in enumerate(self.pairs):
            total += pair.take(packed[:, 2 * w : 2 * w + 2].view("<u2")[:, 0])
        if self.last is not None:
            total += self.last.take(packed[:, -1])
        least = np.float32(float(floor) - self.slack)
        if least > float(floor) - self.slack:
            least = np.nextafter(least, np.float32(-np.inf))
        # Not `>=`: a sum that overflowed to NaN is kept and scored exactly.
        rows: NDArray[np.int64] = np.flatnonzero(~(total < least))
        return rows


def _outer(entries: Floats, K: int) -> Floats:
    # One byte's 256 values: (low nibble, high nibble) at K = 16, where an odd M has no high one; the code at K = 256.
    if K == 256:
        low: Floats = entries[0]
        return low
    high = entries[1] if len(entries) == 2 else np.zeros(K, dtype=np.float32)
    both: Floats = (high[:, None] + entries[0][None, :]).reshape(-1)
    return both


def _sum(tables: Floats, places: NDArray[np.intp]) -> Floats:
    terms: Floats = tables.reshape(-1).take(places)  # (M, n)
    if terms.shape[1] == 1:  # NumPy would take it for a vector and sum it pairwise
        terms = np.repeat(terms, 2, axis=1)
    # Row after row, in the order of m: NumPy reduces along the outer axis so; the tests compare every bit.
    total: Floats = np.add.reduce(terms, axis=0)
    return total[: places.shape[1]]


def smallest(found: Keys, k: int) -> Keys:
    return np.partition(found, k - 1)[:k] if len(found) > k else found

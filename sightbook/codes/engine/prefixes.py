"""Exact search without reading every code: rows lie in groups that share their first codewords, and a group is read
only when the best score any of its rows could have would bring it among the answers.

Learned codes of a real collection crowd: of a million, the groups that can matter to a query hold a twentieth
(docs/log.md). Random codes do not, and then scanning all of them is faster; so whether it pays is found out by the
queries themselves, `Watch`. The answers are the same either way.

A group's bound: the query's entries at its shared codewords, and the largest entry of every further codebook.
"""

from __future__ import annotations

import math
import threading

import numpy as np
from numpy.typing import NDArray

from sightbook.codes.engine.sieve import Sieve, Sieves
from sightbook.codes.engine.stored import ROUNDING, Stored, smallest
from sightbook.codes.pack import Codes
from sightbook.codes.ranking import Keys, keys, scores_of
from sightbook.codes.tables import Floats

DEPTH = 4  # codebooks of a prefix: rows are sorted by 16 bits
FINEST = 512  # groups of more than N / FINEST rows are split by their next codeword
ROWS_A_GROUP = (
    1 << 14
)  # on average at least: each group has an index of its own, 16 KiB of codebooks at 64 bits

ASKING = 1_000_000  # what asking one group costs beside reading its rows, told in codewords read
LARGE = 2_000_000  # rows from which groups may pay

MORE = 4  # times as many groups are asked at each step; the first one alone: its scores rule others out

WAIT = 256  # queries after which is decided: sorting the rows costs as much as some hundred scans
PROBES = 16  # of these queries that decide
GAIN = 2.5  # how many times less must be read


class Layout:
    """The groups of packed codes of M codebooks of 16 codewords: their prefixes and sizes, in the order of the
    prefixes."""

    def __init__(self, packed: Codes, M: int) -> None:
        self.M = M
        ends = np.concatenate([[0], np.cumsum(np.bincount(self.keys(packed), minlength=16**DEPTH))])
        most, few = len(packed) // FINEST, max(16, len(packed) // ROWS_A_GROUP)
        groups = _split(ends, most)
        while len(groups) > few and most < len(packed):
            most *= 2
            groups = _split(ends, most)
        first, shared = (np.array(column) for column in zip(*groups, strict=True))
        self.starts: NDArray[np.int64] = ends[first]
        self.sizes: NDArray[np.int64] = np.diff(np.append(self.starts, len(packed)))
        # (DEPTH, groups): where each entry stands in `bounds`; behind the codewords stands the best of a codebook.
        level = np.arange(DEPTH)[:, None]
        words = first >> (4 * (DEPTH - 1 - level)) & 15
        self._places = np.where(level < shared, words, 16) + level * 17

    def keys(self, packed: Codes) -> NDArray[np.uint16]:
        """The first codewords of each row as one number, the first codebook's above the others."""
        byte = np.arange(256)  # its low nibble is the earlier codebook's
        turned = ((byte & 15) << 4 | byte >> 4).astype(np.uint16)
        number: NDArray[np.uint16] = turned[packed[:, 0]]
        number *= np.uint16(256)
        number += turned[packed[:, 1]]
        return number

    def bounds(self, table: Floats) -> NDArray[np.float64]:
        """The most a row of each group can score for a table (M, K), rounding of its float32 sum included."""
        wide = table.astype(np.float64)
        best = wide.max(axis=1)
        entries = np.concatenate([wide[:DEPTH], best[:DEPTH, None]], axis=1).reshape(-1)
        rounding = (self.M + 1) * ROUNDING * float(np.abs(wide).max(axis=1).sum())
        total: NDArray[np.float64] = entries[self._places].sum(axis=0) + (best[DEPTH:].sum() + rounding)
        return total

    def cost(self, table: Floats, kth: float) -> float:
        """Rows to be read, and groups asked told in rows, for a query whose k-th best score is `kth`."""
        read = self.bounds(table) >= kth
        return float(self.sizes[read].sum() + ASKING / self.M * int(read.sum()))


class Prefixed:
    """Search by groups: the best ones first, until no further one can hold a row that belongs to the k best."""

    def __init__(self, stored: Stored, layout: Layout) -> None:
        self._stored, self._layout = stored, layout
        order = np.argsort(layout.keys(stored.packed), kind="stable")
        self._order = order.astype(np.int32)
        del order
        self._groups = [
            self._order[start : start + size]
            for start, size in zip(layout.starts.tolist(), layout.sizes.tolist(), strict=True)
        ]
        self._sieves = [Sieve(stored.packed[rows], layout.M, 16) for rows in self._groups]

    @property
    def nbytes(self) -> int:
        """Bytes of the groups' indexes and of the order of the rows."""
        return self._order.nbytes + sum(sieve.nbytes for sieve in self._sieves)

    def search(
        self,
        tables: Floats,
        k: int,
        margin: list[float],
        kept: NDArray[np.bool_] | None = None,
        share: float = 1.0,
    ) -> Keys:
        """As `Exact.search`; margin: `sieve.margins` of the tables; kept (N,) bool: only rows so marked, this share of
        all, at least k."""
        first = int((k + k // 2) / share) + 12
        found = np.empty((len(tables), k), np.int64)
        for q in range(len(tables)):
            table = tables[q : q + 1]
            if margin[q] == math.inf:
                every = np.arange(len(self._order)) if kept is None else np.flatnonzero(kept)
                found[q] = self._stored.among(table, k, every)[0]
                continue
            best = _Best(self._stored, table, k, kept)
            bounds = self._layout.bounds(table[0])
            order = np.argsort(-bounds)
            start, count = 0, 1
            while start < len(order):
                groups = order[start : start + count]
                groups = groups[bounds[groups] >= best.kth]
                if not len(groups):
                    break
                best = self.read(groups, table, first, margin[q], best)
                start, count = start + count, MORE * count
            found[q] = np.sort(best.found)
        return found

    def read(self, groups: NDArray[np.int64], table: Floats, c: int, margin: float, best: _Best) -> _Best:
        """The best of those found so far and of the rows of these groups, by their numbers (n,), c candidates at first;
        margin: the table's."""
        ends = np.cumsum(self._layout.sizes[groups])
        before = self._layout.starts[groups] - (ends - self._layout.sizes[groups])
        sieves = [self._sieves[group] for group in groups.tolist()]
        sieve = Sieves(sieves) if len(sieves) > 1 else sieves[0]
        while 4 * c <= ends[-1]:
            places, approximate = sieve.candidates(table, c)
            if places[0, -1] < 0:
                break
            # The most that each of them can score, and the last of them all rows that are none.
            most = approximate[0].astype(np.float64) + margin
            near = places[0, : np.searchsorted(-most, -best.kth, side="right")]
            after = best
            if len(near):
                after = best.after(self._order[near + before[np.searchsorted(ends, near, side="right")]])
            if most[-1] < after.kth:
                return after
            c *= 4
        for group in groups.tolist():
            best = best.after(self._groups[group])
        return best


class _Best:
    """The k best rows of a query so far, and the k-th one's score: −∞ while there are fewer."""

    def __init__(self, stored: Stored, table: Floats, k: int, kept: NDArray[np.bool_] | None) -> None:
        self._stored, self._table, self._k, self._kept = stored, table, k, kept
        self.found: Keys = np.empty(0, np.int64)
        self.kth = -math.inf

    def after(self, rows: NDArray[np.int32]) -> _Best:
        """These and further rows: the best of both."""
        here = (rows if self._kept is None else rows[self._kept[rows]]).astype(np.int64)
        further = keys(self._stored.scores(self._table, here[None])[0], here)
        both = _Best(self._stored, self._table, self._k, self._kept)
        both.found = smallest(np.concatenate([self.found, further]), self._k)
        if len(both.found) == self._k:
            both.kth = float(scores_of(both.found.max(keepdims=True))[0])
        return both


class Watch:
    """Finds out, from the first queries of an index, whether groups would serve them better than a scan."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen = 0
        self._probes: list[tuple[Floats, float]] = []

    def saw(self, tables: Floats, kth: Floats) -> bool:
        """Takes note of queries and their k-th best scores; whether it is time to decide: said once, to one thread."""
        with self._lock:
            before = self._seen
            self._seen += len(tables)
            few = zip(tables[:PROBES], kth[:PROBES], strict=True)
            self._probes += [(table.copy(), float(score)) for table, score in few]
            del self._probes[:-PROBES]
            return before < WAIT <= self._seen

    def layout(self, packed: Codes, M: int) -> Layout | None:
        """The groups, when the queries seen would have had to read so much less."""
        made = Layout(packed, M)
        costs = [made.cost(table, kth) for table, kth in self._probes]
        return made if GAIN * float(np.mean(costs)) < len(packed) else None


def may_pay(count: int, M: int, K: int) -> bool:
    """Whether so many codes are enough for groups, and have a prefix. Not with K = 256, where each group's index would
    take 2 MiB."""
    return K == 16 and M > DEPTH and count >= LARGE


def _split(ends: NDArray[np.int64], most: int) -> list[tuple[int, int]]:
    # (first key, codewords shared) of the groups that have rows; of at most `most` where a prefix can be told further.
    found, waiting = [], [(0, 0)]
    while waiting:
        key, shared = waiting.pop()
        span = 16 ** (DEPTH - shared)
        rows = ends[key + span] - ends[key]
        if rows > most and shared < DEPTH:
            waiting += [(key + i * span // 16, shared + 1) for i in range(16)]
        elif rows:
            found.append((key, shared))
    return sorted(found)

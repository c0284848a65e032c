"""Candidates without reading every code: rows lie in groups that share their first codewords, and a group is read only
when the best score any of its rows could have would bring it among the candidates.

Learned codes of a real collection crowd: of a million, the groups that can matter to a query hold a twentieth
(docs/log.md). Random codes do not, and then scanning all of them is faster; so whether it pays is found out by the
queries themselves, `Watch`. The candidates are those of `Sieve`, so the answers stay exact either way.

A group's bound: the query's entries at its shared codewords, and the largest entry of every further codebook.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightbook.codes.pack import Codes
from sightbook.codes.sieve import Sieve
from sightbook.codes.tables import Floats

DEPTH = 4  # codebooks of a prefix: rows are sorted by 16 bits
FINEST = 256  # groups of more than N / FINEST rows are split by their next codeword
ROWS_A_GROUP = 1 << 15  # on average at least: each group has an index of its own, of 16 KiB at 64 bits

ASKING = 100_000  # what asking one group costs beside reading its rows, told in rows
LARGE = 2_000_000  # rows from which groups may pay

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
        """The most a row of each group can score for a table (M, K), but for the rounding of its float32 sum."""
        wide = table.astype(np.float64)
        best = wide.max(axis=1)
        entries = np.concatenate([wide[:DEPTH], best[:DEPTH, None]], axis=1).reshape(-1)
        total: NDArray[np.float64] = entries[self._places].sum(axis=0) + best[DEPTH:].sum()
        return total

    def cost(self, table: Floats, kth: float) -> float:
        """Rows to be read, and groups asked told in rows, for a query whose k-th best score is `kth`."""
        read = self.bounds(table) >= kth
        return float(self.sizes[read].sum() + ASKING * int(read.sum()))


class Prefixed(Sieve):
    """The candidates of a `Sieve`, by one index for each group. packed is read, not kept."""

    def __init__(self, packed: Codes, layout: Layout) -> None:
        super().__init__(packed[:0], layout.M, 16)
        self._layout = layout
        order = np.argsort(layout.keys(packed), kind="stable")
        self._order = order.astype(np.int32)
        del order
        self._parts: list[Any] = []
        for start, size in zip(layout.starts.tolist(), layout.sizes.tolist(), strict=True):
            rows = self._order[start : start + size]
            self._parts.append(Sieve(packed[rows], layout.M, 16)._index)

    @property
    def nbytes(self) -> int:
        """Bytes of the groups' indexes and of the order of the rows."""
        codebooks = 4 * self.M * self.K * self.K
        return self._order.nbytes + sum(int(part.codes.size()) + codebooks for part in self._parts)

    def candidates(self, tables: Floats, c: int) -> tuple[NDArray[np.int64], Floats]:
        """As `Sieve.candidates`."""
        rows, worst = np.empty((len(tables), c), np.int64), np.empty(len(tables), np.float32)
        threads = self._faiss.omp_get_max_threads()
        self._faiss.omp_set_num_threads(1)
        try:
            for q, (table, margin) in enumerate(zip(tables, self.margins(tables), strict=True)):
                rows[q], worst[q] = self._best(table, c, margin)
        finally:
            self._faiss.omp_set_num_threads(threads)
        return rows, worst

    def _best(self, table: Floats, c: int, margin: float) -> tuple[NDArray[np.int64], np.float32]:
        # The best groups first, until no further one can hold a row whose approximate score reaches the c-th so far.
        bounds = self._layout.bounds(table) + margin
        query = np.ascontiguousarray(table.reshape(1, -1))
        best, places = np.empty(0, np.float32), np.empty(0, np.int64)
        least = -np.inf
        for group in np.argsort(-bounds).tolist():
            if bounds[group] < least:
                break
            size = int(self._layout.sizes[group])
            found, rows = self._parts[group].search(query, min(c, size))
            kept = (found[0] >= least) & (rows[0] >= 0)
            best = np.concatenate([best, found[0][kept]])
            places = np.concatenate([places, rows[0][kept] + self._layout.starts[group]])
            if len(best) > c:
                chosen = np.argpartition(best, len(best) - c)[len(best) - c :]
                best, places = best[chosen], places[chosen]
            if len(best) == c:
                least = float(best.min())
        order = np.argsort(-best, kind="stable")
        rows = np.full(c, -1, np.int64)
        rows[: len(order)] = self._order[places[order]]
        return rows, best[order[-1]] if len(order) else np.float32(-np.inf)


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

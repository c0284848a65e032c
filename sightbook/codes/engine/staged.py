"""Two-stage search over nested codes: a prefix of each code is scanned, the best candidates are scored by all of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightbook.codes.engine.engine import AT_ONCE, Engine, searchable
from sightbook.codes.engine.ids import Ids
from sightbook.codes.engine.index import Among
from sightbook.codes.engine.stored import Stored
from sightbook.codes.pack import Codes, code_bytes
from sightbook.codes.ranking import keys, rows_of, scores_of
from sightbook.codes.tables import Floats
from sightbook.errors import ConfigError

# Candidates for each answer: at 16 scanned bits of 64, ties alone make more than a hundred rows of equal score.
_PER_ANSWER, _LEAST = 20, 1000


class Staged:
    """Codes (N, code_bytes) of M codebooks whose first `first` ones are codes by themselves, a multiple of 8 bits.

    The answers are exact among the candidates, which the scan finds exactly, too; a picture that its short code does
    not bring among them is missed. packed and ids as in `Engine`; the prefix is copied.
    """

    def __init__(
        self, packed: Codes, M: int, K: int, first: int, ids: NDArray[np.int64] | None = None
    ) -> None:
        self._first = first
        self._scan = Engine(np.ascontiguousarray(packed[:, : code_bytes(first, K)]), first, K)
        self._stored, self._ids = Stored(packed, M, K), Ids(ids) if ids is not None and len(ids) else None

    def __len__(self) -> int:
        return len(self._stored)

    def search(
        self,
        tables: Floats,
        k: int,
        threads: int = 1,
        *,
        among: Among = None,
        queries: NDArray[np.int8] | None = None,  # for `codes.fine.Fine`; not looked at
        candidates: int | None = None,
    ) -> tuple[NDArray[np.int64], Floats]:
        """The k best of the candidates for tables (Q, M, K) float32: ids and scores (Q, min(k, N)), best first.

        candidates: how many the scan hands on for each query; default 20 for each answer, at least 1,000.
        Raises ConfigError as `Engine.search` does, and for a choice of rows.
        """
        rows, scores = self.rank(tables, k, threads, among=among, candidates=candidates)
        return self.ids_of(rows), scores

    def ids_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The ids of rows, of any shape."""
        return rows if self._ids is None else self._ids.of(rows)

    def rank(
        self,
        tables: Floats,
        k: int,
        threads: int = 1,
        *,
        among: Among = None,
        answers: int | None = None,
        candidates: int | None = None,
    ) -> tuple[NDArray[np.int64], Floats]:
        """`search` with rows in place of ids. answers: how many of the k will be answers, when not all."""
        if among is not None:
            raise ConfigError("a choice of rows is searched by whole codes: leave it out, or the first bits")
        if candidates is None:
            candidates = max(_LEAST, _PER_ANSWER * (k if answers is None else answers))
        whole = searchable(tables, self._stored.M, self._stored.K, k, threads)
        rows, _ = self._scan.rank(whole[:, : self._first], max(k, candidates), threads)
        step = max(1, AT_ONCE // max(1, rows.shape[1]))
        found = np.empty((len(tables), min(k, rows.shape[1])), np.int64)
        for start in range(0, len(tables), step):
            some = slice(start, start + step)
            every = keys(self._stored.scores(whole[some], rows[some]), rows[some])
            every.sort(axis=1)
            found[some] = every[:, :k]
        return rows_of(found), scores_of(found)

"""The search engine over packed codes: the oracle's answer, to the bit, at the speed of faiss.

    engine = Engine(model.pack(codes), model.M, model.K, ids)
    found, scores = engine.search(model.tables(x), k=10)

An engine never changes. When pictures come or go, build a new one (0.1 s for 10M codes) and swap it for the old.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from sightbook.allocator import SEARCHING, keep_freed_memory
from sightbook.codes.engine import filtered
from sightbook.codes.engine.exact import FEW, Exact
from sightbook.codes.engine.filtered import Chosen
from sightbook.codes.engine.groups import Groups
from sightbook.codes.engine.ids import Ids
from sightbook.codes.engine.index import Among
from sightbook.codes.pack import Codes, check_packed
from sightbook.codes.ranking import ROWS, Keys, rows_of, scores_of
from sightbook.codes.tables import Floats
from sightbook.errors import ConfigError

AT_ONCE = 1 << 16  # candidates re-scored at once (queries × candidates), 8 MiB of look-ups at M = 16
QUERIES = 32  # in one block at most: should all need every row scored, 1 MiB of look-ups each at 64 bits


class Engine:
    """Exact search over N codes of M codebooks of K codewords (16 or 256).

    packed  (N, code_bytes) uint8, as `pack.pack` writes them; kept, not copied: leave it as it is meanwhile
    ids     (N,) int64, strictly ascending, gaps allowed; the rows' numbers when None

    rows    what is searched: every row of its own (Exact), or distinct codes with the rows that bear them (Groups)

    Raises ConfigError when shapes, types or order are not as said. Searching from several threads is safe.
    Resident at 64 bits: 8 bytes a picture each for packed and the copy of the codes inside faiss, 2 for ids (8 where
    these lie far apart); where groups are searched (prefixes.py), 5 more.
    """

    def __init__(self, packed: Codes, M: int, K: int, ids: NDArray[np.int64] | None = None) -> None:
        check_packed(packed, M, K)
        if len(packed) >= ROWS:
            raise ConfigError(
                f"{len(packed)} codes do not fit one engine: give it fewer than {ROWS} and merge the answers"
            )
        if ids is not None:
            if ids.shape != (len(packed),) or ids.dtype != np.int64:
                raise ConfigError(
                    f"ids must be ({len(packed)},) int64 like the codes, not {ids.dtype} of {ids.shape}"
                )
            if not (ids[1:] > ids[:-1]).all():
                raise ConfigError("ids must ascend strictly: sort the codes by id, and give each its own")
        self.M, self.K, self._count = M, K, len(packed)
        self._mark = object()  # tells whose rows were chosen
        self._ids = Ids(ids) if ids is not None and len(ids) else None
        self.rows: Exact | Groups = (Groups.of(packed, M, K) if len(packed) > FEW else None) or Exact(
            packed, M, K
        )

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Bytes resident for these codes, the arrays given included."""
        return self.rows.nbytes + (0 if self._ids is None else self._ids.nbytes)

    def search(
        self,
        tables: Floats,
        k: int,
        threads: int = 1,
        *,
        among: Among = None,
        queries: NDArray[np.int8] | None = None,  # for `codes.fine.Fine`; not looked at
    ) -> tuple[NDArray[np.int64], Floats]:
        """The k best for each query: ids (Q, min(k, N)) int64 and scores (Q, min(k, N)) float32.

        tables (Q, M, K) float32, one look-up table a query. Scores are summed in float32 over m = 0 … M−1; order is
        (score descending, id ascending), also at the k-th place. `threads` spreads queries; one query takes one thread,
        and several make this process keep some megabytes that it frees (allocator.py).
        among: ids to choose from, ascending, or what `choose` made of them for several searches; N is then their
        number.

        Raises ConfigError for tables of another shape or type, tables that are not finite, k < 1, threads < 1, or
        `among` that does not ascend.
        """
        rows, scores = self.rank(tables, k, threads, among=among)
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
        answers: int | None = None,  # all k are found in any case
    ) -> tuple[NDArray[np.int64], Floats]:
        """`search` with rows in place of ids."""
        kept = self.choose(among) if isinstance(among, np.ndarray) else among
        if kept is not None and kept.engine is not self._mark:
            raise ConfigError("these rows were chosen of another engine: choose again")
        whole = searchable(tables, self.M, self.K, k, threads)
        k = min(k, self._count if kept is None else len(kept))
        found = self._search(whole, k, threads, kept)
        return rows_of(found), scores_of(found)

    def choose(self, among: NDArray[np.int64]) -> Chosen:
        """The rows of ids, which must ascend; ids that are not here are passed over. ConfigError when they do not."""
        if among.ndim != 1 or among.dtype != np.int64 or not (among[1:] > among[:-1]).all():
            raise ConfigError("the ids to choose from must ascend strictly, as int64: sort them, each once")
        if self._ids is None:
            rows = among[(among >= 0) & (among < self._count)]
        else:
            rows = self._ids.rows(among)
        groups = self.rows.only(rows) if isinstance(self.rows, Groups) and len(rows) else None
        return Chosen(rows, self._count, self._mark, groups)

    def _best(self, tables: Floats, k: int, kept: Chosen | None) -> Keys:
        if kept is None:
            return self.rows.search(tables, k)
        if kept.groups is not None:
            return kept.groups.search(tables, k)
        assert isinstance(self.rows, Exact)
        return filtered.search(self.rows, tables, k, kept)

    def _search(self, tables: Floats, k: int, threads: int, kept: Chosen | None) -> Keys:
        if k == 0 or len(tables) == 0:
            return np.empty((len(tables), k), dtype=np.int64)
        step = max(1, min(QUERIES, AT_ONCE // (2 * k), -(-len(tables) // threads)))
        blocks = [tables[start : start + step] for start in range(0, len(tables), step)]
        if len(blocks) == 1:
            return self._best(tables, k, kept)
        if threads == 1:
            return np.concatenate([self._best(block, k, kept) for block in blocks])
        keep_freed_memory(SEARCHING)
        with ThreadPoolExecutor(threads) as pool:
            return np.concatenate(list(pool.map(lambda block: self._best(block, k, kept), blocks)))


def searchable(tables: Floats, M: int, K: int, k: int, threads: int) -> Floats:
    """Tables (Q, M, K) as they are searched: C-contiguous, without −0. ConfigError for another shape or type, values
    that are not finite, k < 1 or threads < 1."""
    if tables.dtype != np.float32 or tables.ndim != 3 or tables.shape[1:] != (M, K):
        raise ConfigError(
            f"look-up tables must be (Q, {M}, {K}) float32, not {tables.dtype} of shape {tables.shape}"
        )
    if k < 1 or threads < 1:
        raise ConfigError(
            f"k = {k} results on {threads} threads cannot be searched for: both must be at least 1"
        )
    finite = np.isfinite(tables)
    if not finite.all():
        query = int(np.argmin(finite.all(axis=(1, 2))))
        raise ConfigError(
            f"query {query} has values that are not finite, so it has no order: encode it again"
        )
    return np.add(tables, np.float32(0), order="C")  # + 0 turns −0 into 0

"""What every engine looks like to whoever asks it, however it finds its answers."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sightbook.codes.engine.filtered import Chosen
from sightbook.codes.tables import Floats

# Ids to choose from, ascending, or what `Engine.choose` made of them.
Among = NDArray[np.int64] | Chosen | None


class Index(Protocol):
    """Answers questions: `Engine` by whole codes, `Staged` by their first bits first, `codes.fine.Fine` by fine codes,
    too."""

    def __len__(self) -> int: ...

    def search(
        self,
        tables: Floats,
        k: int,
        threads: int = 1,
        *,
        among: Among = None,
        queries: NDArray[np.int8] | None = None,
    ) -> tuple[NDArray[np.int64], Floats]:
        """The k best for each of tables (Q, M, K) float32: ids and scores, both (Q, min(k, N)), by (score descending,
        id ascending). queries (Q, d) int8: the queries' own fine codes, for those who go by such."""
        ...


class Ranking(Protocol):
    """An index by codes alone, whose rows can be put in another order before they are answers."""

    def __len__(self) -> int: ...

    def rank(
        self, tables: Floats, k: int, threads: int = 1, *, among: Among = None, answers: int | None = None
    ) -> tuple[NDArray[np.int64], Floats]:
        """`Index.search` with rows in place of ids. answers: how many of the k will be answers, when not all."""
        ...

    def ids_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The ids of rows, of any shape."""
        ...

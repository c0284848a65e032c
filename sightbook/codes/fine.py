"""Fine codes: a description's own numbers at 8 bits each, which put the best by code into a better order.

    i8 = round(127 · y / limit), clipped to ±127             y (N, d) float32, a description before it is centred
    total = code score + gain · Σ_j q8_j · i8_j              gain = weight · (limit / 127)²

The codes find the candidates, max(400, 2k) of them; these are ordered by (total descending, id ascending). The sum is
one of whole numbers below 2²⁴, so float32 products give it exactly in whatever order they add: the answer is unique.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from sightbook.codes.engine import Among, Ranking
from sightbook.codes.ranking import keys, rows_of, scores_of
from sightbook.codes.tables import Floats
from sightbook.errors import ConfigError

Fines = NDArray[np.int8]

STEPS = 127  # the largest number of a fine code
MOST = (1 << 24) // STEPS**2  # numbers of a fine code: more could sum to what float32 does not hold exactly

CANDIDATES = 400  # at least
_PER_ANSWER = 2
_AT_ONCE = 1 << 21  # numbers of fine codes multiplied at once, of one query: 8 MiB as float32


def quantize(y: Floats, limit: float) -> Fines:
    """y (N, d) float32 → fine codes (N, d) int8, steps of limit / 127; half steps go to the even one.

    Raises ConfigError for numbers that are not finite, d above 1,040, or a limit that is not above 0.
    """
    if y.ndim != 2 or y.shape[1] > MOST or not 0 < limit < np.inf:
        raise ConfigError(
            f"fine codes need (N, d) numbers, d up to {MOST}, and a limit above 0, not {y.shape} and {limit}"
        )
    bad = ~np.isfinite(y).all(axis=1)
    if bad.any():
        raise ConfigError(
            f"description {int(np.argmax(bad))} holds values that are not finite: it has no fine code"
        )
    # Elementwise: a picture's fine code does not depend on the pictures beside it.
    steps = np.rint(np.asarray(y, np.float32) * np.float32(STEPS / limit))
    found: Fines = np.clip(steps, -STEPS, STEPS).astype(np.int8)
    return found


def gain(weight: float, limit: float) -> np.float32:
    """What one unit of the sum of products adds to a code score."""
    return np.float32(weight * (limit / STEPS) ** 2)


def candidates(k: int) -> int:
    """How many of the best by code are scored again for k answers."""
    return max(CANDIDATES, _PER_ANSWER * k)


def sums(queries: Fines, fine: Fines, rows: NDArray[np.int64]) -> Floats:
    """Σ_j q8_j · i8_j, whole numbers as float32 (Q, c), of queries (Q, d) with the rows (Q, c) of fine (N, d)."""
    found = np.empty(rows.shape, np.float32)
    step = max(1, _AT_ONCE // max(1, fine.shape[1]))
    for query, places, products in zip(queries.astype(np.float32), rows, found, strict=True):
        for start in range(0, len(places), step):
            some = slice(start, start + step)
            products[some] = fine.take(places[some], axis=0).astype(np.float32) @ query
    return found


def totals(scores: Floats, products: Floats, gain: np.float32) -> Floats:
    """Code scores and sums of products, of one shape → totals float32: one product and one sum, each rounded once."""
    return np.asarray(scores + gain * products, np.float32)


class Fine:
    """Search by code and fine code over an engine's rows.

    engine  a `Ranking` (`Engine` or `Staged`) of N codes
    fine    (N, d) int8, the fine codes of the same rows; kept, not copied: a mapped file will do
    gain    of `gain`, finite and not below 0

    The answers are exact among the candidates (`candidates`) that the engine gives, exactly or, `Staged`, by the first
    bits. Searching from several threads is safe. Raises ConfigError when shapes or types are not as said.
    """

    def __init__(self, engine: Ranking, fine: Fines, gain: np.float32) -> None:
        if fine.ndim != 2 or fine.dtype != np.int8 or len(fine) != len(engine) or fine.shape[1] > MOST:
            raise ConfigError(
                f"fine codes must be ({len(engine)}, d) int8 like the codes, not {fine.dtype} of shape {fine.shape}"
            )
        if not 0 <= gain < np.inf:
            raise ConfigError(f"fine codes cannot weigh {gain}: give a finite number that is not below 0")
        self.engine, self._fine, self._gain = engine, fine, np.float32(gain)

    def __len__(self) -> int:
        return len(self.engine)

    def search(
        self,
        tables: Floats,
        k: int,
        threads: int = 1,
        *,
        among: Among = None,
        queries: Fines | None = None,
    ) -> tuple[NDArray[np.int64], Floats]:
        """The k best for each query: ids (Q, min(k, N)) int64 and totals (Q, min(k, N)) float32, by (total descending,
        id ascending).

        tables (Q, M, K) float32 and queries (Q, d) int8, the queries' own fine codes. among: as in `Engine.search`; N
        is then their number. Raises ConfigError as `Engine.search` does, for `among` with a `Staged` engine, and
        without queries.
        """
        if queries is None:
            raise ConfigError(
                "the queries' own fine codes are not given: search by codes alone, or give them"
            )
        if queries.dtype != np.int8 or queries.shape != (len(tables), self._fine.shape[1]):
            raise ConfigError(
                f"the queries' fine codes must be ({len(tables)}, {self._fine.shape[1]}) int8, not {queries.dtype} of "
                f"shape {queries.shape}"
            )
        if k < 1:
            raise ConfigError(f"k = {k} results cannot be searched for: ask for at least 1")
        rows, scores = self.engine.rank(tables, candidates(k), threads, among=among, answers=k)
        k = min(k, rows.shape[1])
        if k == 0 or not len(tables):
            return np.empty((len(tables), k), np.int64), np.empty((len(tables), k), np.float32)

        def best(some: slice) -> NDArray[np.int64]:
            total = totals(scores[some], sums(queries[some], self._fine, rows[some]), self._gain)
            found = keys(total, rows[some])
            found.sort(axis=1)
            return found[:, :k]

        step = -(-len(tables) // threads)
        parts = [slice(start, start + step) for start in range(0, len(tables), step)]
        if len(parts) == 1:
            found = best(parts[0])
        else:
            with ThreadPoolExecutor(threads) as pool:
                found = np.concatenate(list(pool.map(best, parts)))
        return self.engine.ids_of(rows_of(found)), scores_of(found)

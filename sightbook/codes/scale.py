"""The scale that people read scores on: 1 is the best code a query can have, 0 the average picture of a library.

Raw scores have no scale of their own: how large they are depends on the metric, on the query and on the collection. So
for each query

    score = min(1, (raw − mean) / (best − mean))

    best = Σ_m max_k table[m, k]                 + gain · Σ_j q8_j²             the terms of fine codes only where raw
    mean = Σ_m Σ_k share[m, k] · table[m, k]     + gain · Σ_j q8_j · middle_j   has them, too

where share[m, k] is how often the library's codes use codeword k in codebook m, and middle its mean fine code: `mean`
is what all its pictures score on average. A picture's code is made of the codewords of the largest table entries
(`tables.assign`), so the query's own picture scores 1, exactly. `best` is summed in float32 in the order of m, as `raw`
is: by codes alone raw is never above it. By fine codes it can be, where another picture's numbers were rounded to a
slightly longer vector than the query's own (descriptions have length 1): that near-duplicate scores 1 as well.

The scale is affine below 1 and never turns an order round. Below 0 is what is less alike than the average picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sightbook.codes.engine.stored import CHUNK, ROUNDING
from sightbook.codes.fine import Fines, totals
from sightbook.codes.pack import Codes
from sightbook.codes.tables import Floats

# Bytes of codes, and of fine codes, that the average is taken of: all up to 524,288 codes of 64 bits, 16,384 fine codes
# of 256 bytes (10 and 2 ms on one core); of more a sample (25 and 3 ms for however many), whose mean is within .001 of
# the whole's on this scale.
MOST = 1 << 22
_SEED = 0
_Number = TypeVar("_Number", bound=np.generic)
_LOWEST = float(np.finfo(np.float64).min)


@dataclass(frozen=True, eq=False)
class Scale:
    """What the average picture of a library is.

    shares  (M, K) float64, how often each codeword is used; a codebook's sum to 1
    middle  (d,) float64, the mean fine code; None: not known, for scores by codes alone
    """

    shares: NDArray[np.float64]
    middle: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, packed: Codes, M: int, K: int, fine: Fines | None = None) -> Scale:
        """That of packed codes (N, code_bytes) uint8 and fine codes (N, d) int8, in milliseconds however many.

        Up to 4 MiB of each are counted whole; of more a fixed sample of rows, the same for the same N.
        """
        counts = np.zeros((packed.shape[1], 256), np.int64)
        for rows in _parts(packed):
            for byte, column in enumerate(rows.T):
                counts[byte] += np.bincount(column, minlength=256)
        if K == 16:  # two codes a byte, the low nibble first
            nibbles = counts.reshape(-1, 16, 16)
            counts = np.stack([nibbles.sum(axis=1), nibbles.sum(axis=2)], axis=1).reshape(-1, 16)[:M]
        shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
        if fine is None:
            return cls(shares)
        total, number = np.zeros(fine.shape[1], np.int64), 0
        for part in _parts(fine):
            total += part.sum(axis=0, dtype=np.int32)
            number += len(part)
        return cls(shares, total / max(1, number))

    def scores(
        self,
        raw: Floats,
        tables: Floats,
        queries: Fines | None = None,
        gain: np.float32 | None = None,
    ) -> NDArray[np.float64]:
        """raw (Q, k) float32 as a search with tables (Q, M, K) gives it → scores (Q, k) float64, finite, at most 1.

        queries (Q, d) int8 and gain: where raw is a total with fine codes; `middle` is then known. Where best and mean
        are the same but for rounding (one picture and it is the query, or all codes are equal), what reaches best
        scores 1 and everything else 0. A query's scores do not depend on the queries beside it.
        """
        Q, M, K = tables.shape
        with np.errstate(over="ignore"):
            # Accumulation, unlike a sum, is one entry after another whatever the shape.
            best = np.add.accumulate(tables.max(axis=2), axis=1)[:, -1]
        size = M * np.abs(tables).reshape(Q, M * K).max(axis=1).astype(np.float64)
        mean = np.array([np.multiply(table, self.shares).sum() for table in tables], np.float64)
        if queries is not None:
            assert gain is not None and self.middle is not None
            own = np.square(queries, dtype=np.float32).sum(axis=1)  # whole numbers that float32 holds exactly
            best = totals(best, own, gain)
            mean += [float(gain) * np.multiply(query, self.middle).sum() for query in queries]
            size += float(gain) * own
        span = best.astype(np.float64) - mean
        usable = np.isfinite(span) & (span > (M + 3) * ROUNDING * size)
        found = (raw >= best[:, None]).astype(np.float64)
        np.divide(raw - mean[:, None], span[:, None], out=found, where=usable[:, None])
        return np.clip(found, _LOWEST, 1.0, out=found)


def _parts(rows: NDArray[_Number]) -> Iterator[NDArray[_Number]]:
    """All rows, or a sample of them, some at a time."""
    N, most = len(rows), MOST // max(1, rows.shape[1])
    if most >= N:
        for start in range(0, N, CHUNK):
            yield rows[start : start + CHUNK]
        return
    # One row out of each of `most` equal parts: a plain stride could fall in step with the order of a collection.
    places = (np.arange(most) + np.random.default_rng(_SEED).random(most)) * (N / most)
    chosen = np.minimum(places.astype(np.int64), N - 1)
    for start in range(0, most, CHUNK):
        yield rows.take(chosen[start : start + CHUNK], axis=0)

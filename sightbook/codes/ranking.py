"""One sortable integer for (score, row): ascending keys are descending scores, equal scores by ascending row.

The tie rule then holds wherever keys are sorted, cut or merged, and NumPy sorts integers with vector instructions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightbook.codes.tables import Floats

Keys = NDArray[np.int64]

ROWS = 1 << 31  # rows a key can hold


def keys(scores: Floats, rows: NDArray[np.int64]) -> Keys:
    """Scores (…) float32 without NaN and without −0, rows (…) int64 below 2³¹ → keys (…) int64."""
    return np.left_shift(~_monotone(scores.view(np.int32)), 32, dtype=np.int64) | rows


def rows_of(found: Keys) -> NDArray[np.int64]:
    """The rows of keys, int64."""
    return found & 0xFFFFFFFF


def scores_of(found: Keys) -> Floats:
    """The scores of keys, float32, to the bit."""
    return _monotone(~(found >> 32).astype(np.int32)).view(np.float32)


def _monotone(patterns: NDArray[np.int32]) -> NDArray[np.int32]:
    # The bits of a float32 read as int32 ascend with the float when positive and descend when negative: turning the
    # lower 31 bits of negative ones over makes them ascend too. It is its own inverse.
    return patterns ^ ((patterns >> 31) & 0x7FFFFFFF)

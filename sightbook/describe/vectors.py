"""Vectors as people bring them → rows that can be learned from: float32, finite, of comparable dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightbook.codes.tables import Floats
from sightbook.errors import ConfigError

# A dimension that varies so many times more than the middle one is brought down to that: it would be all there is.
_LOUDEST = 5.0
ROWS = 16_384  # looked at at once
LARGEST = 65504.0  # of float16
_LARGEST_SQUARED = 1e15  # of float32, with room for a sum of a hundred million
_HALF = 2  # bytes of a float16


def checked(features: Any) -> NDArray[Any]:
    """`features` as an (N, F) array of numbers, not copied where it is one.

    ConfigError says what it is instead, or which row holds values that are not finite (a float16 that overflowed, say),
    too large, or masked.
    """
    if isinstance(features, np.ma.MaskedArray) and np.ma.is_masked(features):
        row = int(np.argmax(np.ma.getmaskarray(features).reshape(len(features), -1).any(axis=1)))
        raise ConfigError(
            f"vector {row} holds values that are masked: leave such vectors out, or fill the values in (`filled`)"
        )
    try:
        rows = np.asarray(features)
    except Exception:  # lists of different lengths, and whatever somebody's __array__ lets out
        raise ConfigError(
            "the vectors have different lengths, or are none: give one array (N, F) of N vectors of F numbers"
        ) from None
    if rows.ndim != 2 or 0 in rows.shape or rows.dtype.kind not in "fiu":
        raise ConfigError(
            f"vectors must be one array (N, F) of N vectors of F numbers, not {rows.dtype} of shape {rows.shape}"
        )
    bad = [
        start + int(np.argmin(finite))
        for start in range(0, len(rows), ROWS)
        if not (finite := _finite(rows[start : start + ROWS])).all()
    ]
    if bad:
        raise ConfigError(f"vector {bad[0]} {_wrong(rows[bad[0]])}")
    return rows


def _wrong(row: NDArray[Any]) -> str:
    """What is wrong with a row that is not taken, and what to do."""
    if np.isfinite(row).all():
        return f"holds numbers that are too large ({_LARGEST_SQUARED:.0e} and more): divide all vectors by a number"
    wider = f", or too large for {row.dtype}): leave it out, or give wider numbers"
    return "holds values that are not finite (NaN" + (
        wider if row.dtype.itemsize == _HALF else " or infinite): leave it out"
    )


def _finite(rows: NDArray[Any]) -> NDArray[np.bool_]:
    if rows.dtype.kind != "f":
        return np.ones(len(rows), bool)
    # Squares are summed later on, in float32.
    return np.asarray(
        (np.abs(rows) < _LARGEST_SQUARED).all(axis=1)
        if rows.dtype.itemsize > _HALF
        else np.isfinite(rows).all(axis=1)
    )


def unit(rows: NDArray[Any]) -> Floats:
    """Rows of length 1, float32; a row of zeros stays one."""
    x = np.asarray(rows, np.float32)
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.maximum(lengths, np.float32(1e-12)), np.float32)


def halved(features: NDArray[Any]) -> Floats:
    """Features as they are kept in a file, rounded to float16, as float32.

    Whether a picture was seen just now or its features were kept, its code is the same.
    """
    return np.asarray(np.clip(features, -LARGEST, LARGEST).astype(np.float16), np.float32)


def balance(rows: NDArray[Any]) -> Floats:
    """A factor (F,) float32 for each dimension: 1, but for those that vary over 5 times as much as the middle one.

    The middle is that of the dimensions that vary at all: dead ones say nothing.
    """
    deviation = _deviation(rows)
    alive = deviation[deviation > 0]
    if not len(alive):
        return np.ones(rows.shape[1], np.float32)
    most = _LOUDEST * float(np.median(alive))
    return np.asarray(np.where(deviation > most, most / np.maximum(deviation, 1e-300), 1), np.float32)


def _deviation(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Standard deviation of each dimension (F,), in two passes: the mean, then squares around it."""
    blocks = [rows[start : start + ROWS] for start in range(0, len(rows), ROWS)]
    mean = np.sum([block.sum(axis=0, dtype=np.float64) for block in blocks], axis=0) / len(rows)
    squares = np.sum([((block - mean) ** 2).sum(axis=0) for block in blocks], axis=0)
    return np.asarray(np.sqrt(squares / len(rows)))

"""Vectors in a `.npy` file: mapped, checked, and never unpickled."""

from __future__ import annotations

import os
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightbook.errors import SourceError
from sightbook.images.entry import vanished
from sightbook.images.names import shown

# What NumPy raises for a header that is not one: of the wrong kind, cut short, too deep, or of more numbers than there
# are bytes in the file.
_REFUSED = (
    ValueError,
    TypeError,
    OverflowError,
    SyntaxError,
    TokenError,
    RecursionError,
    MemoryError,
    EOFError,
)


def is_npy(path: str | os.PathLike[str]) -> bool:
    """Whether a file of this name is taken for a NumPy array."""
    return os.fspath(path).lower().endswith(".npy")


def open_npy(path: str) -> NDArray[Any]:
    """The vectors (N, F) of a `.npy` file, mapped: what is not looked at is not read.

    SourceError when the file is gone, no array of NumPy, cut short, of objects (which would be unpickled), not of
    numbers, or not two-dimensional.
    """
    rows = _map(path)
    if rows.ndim != 2 or 0 in rows.shape:
        raise SourceError(
            f"The file {shown(path)} holds an array of shape {rows.shape}, and vectors are (N, F), N rows of F "
            "numbers: write it with numpy.save(file, array)."
        )
    return rows


def open_query(path: str) -> NDArray[Any]:
    """The query vectors of a `.npy` file: (Q, F) as `open_npy` gives them, or one alone (F,), as (1, F)."""
    rows = _map(path)
    return rows[None] if rows.ndim == 1 and len(rows) else open_npy(path)


def _map(path: str) -> NDArray[Any]:
    try:
        # Not numpy.load: what is no .npy file would be a pickle or an archive to it.
        rows: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError as error:
        raise vanished(path) from error
    except OSError as error:
        raise SourceError(f"The file {shown(path)} cannot be read ({error.strerror}): check it.") from error
    except _REFUSED as error:
        reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        raise SourceError(
            f"The file {shown(path)} is no array of numbers as NumPy saves it, or is cut short ({reason}): write it "
            "with numpy.save(file, array)."
        ) from error
    if rows.dtype.kind not in "fiu":
        raise SourceError(
            f"The file {shown(path)} holds {rows.dtype}, and vectors are numbers: convert it, say to float32."
        )
    return rows

"""Vectors in a `.npy` file: checked, read row by row, and never unpickled."""

from __future__ import annotations

import math
import os
from contextlib import closing
from functools import cached_property
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from sightbook.errors import SourceError
from sightbook.images.entry import EmptySource, unreachable
from sightbook.images.names import escape

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


def is_array(root: str | os.PathLike[str]) -> bool:
    """The same of the file that a name led to, which may have another one: a cache keeps it under its digest."""
    if is_npy(root):
        return True
    try:
        with open(root, "rb") as file:  # noqa: PTH123  strings, as in the other kinds of sources
            return file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX
    except OSError:
        return False  # the reader that follows says why


class Npy:
    """An open `.npy` file of rows (N, F), read as they are asked for; used by one thread.

    Not mapped: a file that is cut short while it is mapped kills the process. SourceError when the file is gone, no
    array of NumPy, cut short, of objects (which would be unpickled), or not of numbers.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self._file = open(path, "rb")  # noqa: PTH123, SIM115  closed by `close`
        except OSError as error:
            raise unreachable(path, error) from error
        try:
            self.shape, self._by_columns, self.dtype = _header(self._file)
        except OSError as error:
            self.close()
            raise unreachable(path, error) from error
        except _REFUSED as error:
            self.close()
            reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
            raise SourceError(
                f"The file {escape(path)} is no array of numbers as NumPy saves it, or is cut short ({reason}): write "
                "it with numpy.save(file, array)."
            ) from error
        self._begin = self._file.tell()
        if self.dtype.kind not in "fiu":
            self.close()
            raise SourceError(
                f"The file {escape(path)} holds {self.dtype}, and vectors are numbers: convert it, say to float32."
            )

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, first: int, last: int) -> NDArray[Any]:
        """The rows first … last - 1, which must be there. SourceError when the file was cut short meanwhile."""
        if self._by_columns:  # a row's numbers lie all over the file
            return self._columns[first:last]
        F = math.prod(self.shape[1:])
        return self._numbers(first * F, (last - first) * F).reshape(last - first, *self.shape[1:])

    def close(self) -> None:
        self._file.close()

    @cached_property
    def _columns(self) -> NDArray[Any]:
        return self._numbers(0, math.prod(self.shape)).reshape(self.shape, order="F")

    def _numbers(self, first: int, count: int) -> NDArray[Any]:
        try:
            self._file.seek(self._begin + first * self.dtype.itemsize)
            found: NDArray[Any] = np.fromfile(self._file, self.dtype, count)
        except OSError as error:
            raise unreachable(self._path, error) from error
        if len(found) != count:
            raise SourceError(
                f"The file {escape(self._path)} was cut short while it was read: write it again, then run again."
            )
        return found


def open_npy(path: str) -> Npy:
    """The vectors (N, F) of a `.npy` file. SourceError when it cannot be opened (`Npy`), or is not two-dimensional."""
    file = Npy(path)
    if file.shape[:1] == (0,):
        file.close()
        raise EmptySource(
            f"There are no vectors in the file {escape(path)}, an array of shape {file.shape}: check that it is the "
            "right one."
        )
    if len(file.shape) != 2 or 0 in file.shape:
        file.close()
        raise SourceError(
            f"The file {escape(path)} holds an array of shape {file.shape}, and vectors are (N, F), N rows of F "
            "numbers: write it with numpy.save(file, array)."
        )
    return file


def read_npy(path: str) -> NDArray[Any]:
    """All vectors (N, F) of a `.npy` file, in its own dtype."""
    with closing(open_npy(path)) as file:
        return file.read(0, len(file))


def read_query(path: str) -> NDArray[Any]:
    """The query vectors of a `.npy` file: (Q, F) as `read_npy` gives them, or one alone (F,), as (1, F)."""
    with closing(Npy(path)) as file:
        if len(file.shape) == 1 and len(file):
            return file.read(0, len(file))[None]
    return read_npy(path)


def _header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether the first number of each row comes first, and dtype; ValueError when the file is shorter than
    that, or it says something else."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, by_columns, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise ValueError(f"version {version}")
    if dtype.hasobject or min(shape, default=0) < 0:
        raise ValueError(f"{dtype} of shape {shape}")
    there = os.fstat(file.fileno()).st_size - file.tell()
    if there < math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{there} bytes for {dtype} of shape {shape}")
    return shape, by_columns, dtype

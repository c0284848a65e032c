"""The rows of a file of vectors, open: of a `.npy` file, or of a Parquet file's column of vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sightbook.errors import PictureError, SourceError
from sightbook.images.entry import EmptySource
from sightbook.images.kinds.npy import is_array, open_npy
from sightbook.images.kinds.table import Cursor, Table
from sightbook.images.label import Label
from sightbook.images.names import escape

Vector = NDArray[np.float32]

# The names that people and other programs give a column of vectors.
_NAMES = ("embedding", "embeddings", "vector", "vectors", "features", "emb")


class Rows(Protocol):
    """An open file of vectors; used by one thread. shape: (N, F), rows and numbers of the first vector."""

    shape: tuple[int, int]

    def labels(self) -> Iterator[Label]:
        """The label of each row."""

    def take(self, rows: Sequence[int]) -> list[Vector | str]:
        """The vectors of some rows, or why there is none; reading is fast where they follow each other."""

    def all(self) -> Iterator[Vector | str]:
        """Those of all rows in order."""

    def close(self) -> None: ...


def open_rows(root: str, column: str | None = None) -> Rows:
    """The rows of a file of vectors. SourceError when there is no vector in it, and when it cannot be told which column
    they are in. column: that of the labels, where it is not one of the usual ones."""
    return _Array(root) if is_array(root) else _Column(root, column)


class _Array:
    """A `.npy` file."""

    def __init__(self, root: str) -> None:
        self._file = open_npy(root)
        N, F = self._file.shape
        self.shape = (N, F)

    def labels(self) -> Iterator[None]:
        return repeat(None, len(self._file))

    def take(self, rows: Sequence[int]) -> list[Vector | str]:
        first, last = rows[0], rows[-1]
        if list(rows) == list(range(first, last + 1)) and first >= 0 and last < len(self._file):
            return list(_narrow(self._file.read(first, last + 1)))
        return [
            _narrow(self._file.read(row, row + 1)[0])
            if 0 <= row < len(self._file)
            else "the file has no such row any more"
            for row in rows
        ]

    def all(self) -> Iterator[Vector | str]:
        for start in range(0, len(self._file), 4096):
            yield from _narrow(self._file.read(start, min(start + 4096, len(self._file))))

    def close(self) -> None:
        self._file.close()


class _Column:
    """A Parquet file's column of vectors."""

    def __init__(self, root: str, column: str | None) -> None:
        self._table = Table(root, column)
        self._column = _vector_column(self._table)
        self._cursor = Cursor(self._table, self._column, _unpack)
        first = next((each for each in self.all() if not isinstance(each, str)), None)
        if first is None or not len(first):
            raise EmptySource(
                f"There are no vectors in the Parquet file {escape(root)}: check that it is the right one."
            )
        self.shape = (len(self._table), len(first))

    def labels(self) -> Iterator[Label]:
        for group in range(len(self._table.starts) - 1):
            yield from self._table.labels(group)

    def take(self, rows: Sequence[int]) -> list[Vector | str]:
        return [self._read(row) for row in rows]

    def all(self) -> Iterator[Vector | str]:
        for group in range(len(self._table.starts) - 1):
            for batch in self._table.batches(group, [self._column]):
                yield from _unpack(batch.column(0))

    def close(self) -> None:
        self._table.close()

    def _read(self, row: int) -> Vector | str:
        try:
            found: Vector | str = self._cursor.read(row)
        except PictureError as error:
            return str(error)
        return found


def _unpack(column: Any) -> list[Vector | str]:
    """A list column of a record batch as vectors; a number that is null becomes NaN."""
    from pyarrow import compute

    counts = compute.list_value_length(column).fill_null(-1).to_numpy(zero_copy_only=False)
    values = _narrow(column.flatten().to_numpy(zero_copy_only=False))
    if len(counts) and counts.min() == counts.max() > 0:
        return list(values.reshape(len(counts), -1))
    ends = np.cumsum(np.maximum(counts, 0))
    return [
        "the row holds no vector" if count < 1 else values[end - count : end]
        for end, count in zip(ends.tolist(), counts.tolist(), strict=True)
    ]


def _narrow(values: NDArray[Any]) -> Vector:
    """Any numbers as float32; what is too large for it becomes infinite, and is refused as that."""
    with np.errstate(over="ignore"):
        return np.asarray(values, np.float32)


def vector_columns(schema: Any) -> list[str]:
    """The columns that vectors may be in: those with a usual name, or else all of the type."""
    from pyarrow import types

    def is_vector(kind: Any) -> bool:
        if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
            return False
        return bool(types.is_floating(kind.value_type))

    found = [field.name for field in schema if is_vector(field.type)]
    return [name for name in found if name in _NAMES] or found


def _vector_column(table: Table) -> str:
    found = vector_columns(table.schema)
    if len(found) == 1:
        return found[0]
    if found:
        raise SourceError(
            f"The Parquet file {escape(table.root)} has several columns of vectors ({', '.join(found)}): leave one, or "
            "rename it to `embedding`."
        )
    listed = ", ".join(f"{field.name}: {field.type}" for field in table.schema)
    raise SourceError(
        f"The Parquet file {escape(table.root)} has no column of vectors, lists of floating-point numbers (it has "
        f"{listed or 'no columns'}): write one, named `embedding`."
    )

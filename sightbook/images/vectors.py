"""Vectors that were made elsewhere, as a source: the rows of a `.npy` file, or of a Parquet file's column of vectors.

Data flow: `entries` → one Entry a row, which read alone gives its F little-endian float32; many in a row → `read_many`,
which goes through the file once, in batches. `read_vectors` gives all of them as one array, to learn from.
"""

# Plain strings, as in the other kinds of sources.
# ruff: noqa: PTH110, PTH111

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightbook.errors import PictureError, SourceError
from sightbook.images.entry import EmptySource, Entry, Origin
from sightbook.images.kinds.npy import is_npy, open_npy, read_npy
from sightbook.images.kinds.parquet import picture_column
from sightbook.images.kinds.table import Table
from sightbook.images.names import shown
from sightbook.images.patterns import matches
from sightbook.words import counted

Vector = NDArray[np.float32]

# The names that people and other programs give a column of vectors.
_NAMES = ("embedding", "embeddings", "vector", "vectors", "features", "emb")
_OPEN_FILES = 4


def holds_vectors(root: str) -> bool:
    """Whether a `.npy` or Parquet file is a source of vectors: a Parquet file with pictures is one of those."""
    if is_npy(root):
        return True
    schema = Table(Origin.now("vectors", root)).schema
    return picture_column(schema) is None and bool(_candidates(schema))


def shape(root: str) -> tuple[int, int]:
    """(N, F): rows of a file, and numbers of its first vector. SourceError when there is no vector in it, and when
    it cannot be told which column they are in."""
    return _open(Origin.now("vectors", root)).shape


def fitting_length(root: str, wanted: int) -> int:
    """`wanted` where some vector of the file has so many numbers, else how many the first has."""
    file = _open(Origin.now("vectors", root))
    try:
        F = file.shape[1]
        if wanted == F or any(not isinstance(each, str) and len(each) == wanted for each in file.all()):
            return wanted
        return F
    finally:
        file.close()


def entries(source: str, root: str, column: str | None = None) -> Iterator[Entry]:
    """The rows of a file in order. `size` is that of the first vector: how long each one is shows when it is read.
    column: that of the labels, where it is not one of the usual ones."""
    origin = Origin.now("vectors", root)
    file = _open(origin, column)
    size = 4 * file.shape[1]
    for row, label in enumerate(file.labels()):
        yield Entry(source, str(row), size, origin.mtime_ns, label, origin)


def read_row(origin: Origin, row: int) -> bytes:
    """A row as F little-endian float32. PictureError when there is no such row, or no vector in it."""
    vector = _opened(origin).take([row])[0]
    if isinstance(vector, str):
        raise PictureError(vector)
    return stored(vector)


def stored(vector: Vector) -> bytes:
    """The bytes that a vector (F,) is known by."""
    return vector.astype("<f4", copy=False).tobytes()


def read_many(entries: Iterable[Entry], count: int) -> Iterator[tuple[list[Entry], list[Vector | str]]]:
    """Up to `count` entries at a time, in order, with their vectors (F,) float32, or why there is none.

    Fast where rows follow each other. SourceError when a source is gone, was rewritten, or holds pictures.
    """
    for origin, some in groupby(entries, key=lambda entry: entry.origin):
        if origin is None or origin.kind != "vectors":
            place = "a source" if origin is None else shown(origin.root)
            raise SourceError(
                f"There are pictures in {place}, and vectors are wanted here: give a file of vectors."
            )
        while batch := list(islice(some, count)):
            origin.check()
            yield batch, _opened(origin).take([int(entry.path) for entry in batch])


def read_vectors(path: str | os.PathLike[str] | Sequence[str]) -> NDArray[Any]:
    """All vectors (N, F) of a `.npy` file (in its own dtype), a Parquet file, or several or a glob of those (float32).

    SourceError when there is nothing, or no vectors, or when they differ in length.
    """
    found: list[str] = []
    for spec in [path] if isinstance(path, str | os.PathLike) else path:
        text = os.path.expanduser(os.fspath(spec))
        some = [text] if os.path.exists(text) else matches(text)
        if not some:
            raise SourceError(f"There is nothing at '{shown(text)}': check the path.")
        found += some
    for each in found:
        if not is_npy(each) and not each.lower().endswith(".parquet"):
            raise SourceError(f"'{shown(each)}' is no file of vectors: give a .npy or a .parquet.")
    if len(found) == 1 and is_npy(found[0]):
        return read_npy(found[0])
    files = []
    for each in list(found):
        try:
            files.append(_open(Origin.now("vectors", each)))
        except EmptySource:
            if len(found) == 1:
                raise
            found.remove(each)  # said by `Sources.left_out`
    F = files[0].shape[1]
    rows = np.empty((sum(file.shape[0] for file in files), F), np.float32)
    place = 0
    for name, file in zip(found, files, strict=True):
        for number, vector in enumerate(file.all()):
            if isinstance(vector, str) or len(vector) != F:
                what = (
                    vector
                    if isinstance(vector, str)
                    else f"{counted(len(vector), 'number')}, not {F} as the first"
                )
                raise SourceError(f"Row {number} of {shown(name)} cannot be used ({what}): leave it out.")
            rows[place] = vector
            place += 1
    return rows


class _Array:
    """A `.npy` file."""

    def __init__(self, origin: Origin) -> None:
        self._file = open_npy(origin.root)
        N, F = self._file.shape
        self.shape = (N, F)

    def labels(self) -> Iterator[None]:
        return iter([None] * len(self._file))

    def take(self, rows: Sequence[int]) -> list[Vector | str]:
        """The vectors of some rows; reading is fast where they follow each other."""
        first, last = rows[0], rows[-1]
        if last - first == len(rows) - 1 and first >= 0 and last < len(self._file):
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
    """A Parquet file's column of vectors, with a cursor that moves forward in one row group; used by one thread."""

    def __init__(self, origin: Origin, column: str | None = None) -> None:
        self._table = Table(origin, column)
        self._column = _vector_column(self._table)
        self._group, self._first = -1, 0
        self._cursor: Iterator[Any] | None = None
        self._vectors: list[Vector | str] = []
        first = next((each for each in self.all() if not isinstance(each, str)), None)
        if first is None or not len(first):
            raise EmptySource(
                f"There are no vectors in the Parquet file {shown(origin.root)}: check that it is the right one."
            )
        self.shape = (len(self._table), len(first))

    def labels(self) -> Iterator[Any]:
        for group in range(len(self._table.starts) - 1):
            yield from self._table.labels(group)

    def take(self, rows: Sequence[int]) -> list[Vector | str]:
        """The vectors of some rows; reading is fast where they ascend."""
        return [self._read(row) for row in rows]

    def all(self) -> Iterator[Vector | str]:
        for group in range(len(self._table.starts) - 1):
            for batch in self._table.batches(group, [self._column]):
                yield from _unpack(batch.column(0))

    def close(self) -> None:
        self._table.close()

    def _read(self, row: int) -> Vector | str:
        place = row - self._first
        if 0 <= place < len(self._vectors):
            return self._vectors[place]
        table = self._table
        if not 0 <= row < len(table):
            return "the Parquet file has no such row any more"
        group = bisect_right(table.starts, row) - 1
        if self._cursor is None or group != self._group or row < self._first:
            self._group, self._cursor = group, table.batches(group, [self._column])
            self._first, self._vectors = table.starts[group], []
        while row >= self._first + len(self._vectors):
            self._first += len(self._vectors)
            self._vectors = []  # let go of the old batch before the next is read
            batch = next(self._cursor, None)
            if batch is None:
                self._cursor = None
                raise table.damaged("rows are missing")
            self._vectors = _unpack(batch.column(0))
        return self._vectors[row - self._first]


_here = threading.local()


def _open(origin: Origin, column: str | None = None) -> _Array | _Column:
    return _Array(origin) if is_npy(origin.root) else _Column(origin, column)


def _opened(origin: Origin) -> _Array | _Column:
    """This thread's open file for an origin; a rewritten file has another origin. At most a few stay open."""
    key = (os.getpid(), origin)
    files: dict[tuple[int, Origin], _Array | _Column] = _here.__dict__.setdefault("files", {})
    file = files.pop(key, None) or _open(origin)
    files[key] = file  # the most recently used is the last
    while len(files) > _OPEN_FILES:
        files.pop(next(iter(files))).close()
    return file


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


def _candidates(schema: Any) -> list[str]:
    """The columns that vectors may be in: those with a usual name, or else all of the type."""
    from pyarrow import types

    def is_vector(kind: Any) -> bool:
        if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
            return False
        return bool(types.is_floating(kind.value_type))

    found = [field.name for field in schema if is_vector(field.type)]
    return [name for name in found if name in _NAMES] or found


def _vector_column(table: Table) -> str:
    found = _candidates(table.schema)
    if len(found) == 1:
        return found[0]
    if found:
        raise SourceError(
            f"The Parquet file {shown(table.root)} has several columns of vectors ({', '.join(found)}): leave one, or "
            "rename it to `embedding`."
        )
    listed = ", ".join(f"{field.name}: {field.type}" for field in table.schema)
    raise SourceError(
        f"The Parquet file {shown(table.root)} has no column of vectors, lists of floating-point numbers (it has "
        f"{listed or 'no columns'}): write one, named `embedding`."
    )

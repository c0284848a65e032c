"""Pictures in a Parquet file of the Hugging Face layout: a column of encoded pictures, a row number as the key."""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from sightbook.errors import PictureError, SourceError
from sightbook.images.entry import Entry, Origin
from sightbook.images.kinds.table import Table
from sightbook.images.label import label_of
from sightbook.images.names import shown

_OPEN_FILES = 4


def entries(source: str, root: str, column: str | None = None) -> Iterator[Entry]:
    """The rows of a Parquet file in order; `size` is the picture's bytes, found without decoding any. column: that of
    the labels, where it is not one of the usual ones.

    Raises SourceError when the file is gone, damaged or without a column of pictures.
    """
    from pyarrow import compute

    origin = Origin.now("parquet", root)
    table = Table(origin, column)
    columns = [_picture_column(table), *([] if table.label is None else [table.label])]
    row = 0
    for group in range(table.file.metadata.num_row_groups):
        for batch in table.batches(group, columns):
            sizes = compute.binary_length(_bytes(batch.column(0))).to_pylist()
            labels = [None] * len(sizes) if table.label is None else batch.column(1).to_pylist()
            for size, label in zip(sizes, labels, strict=True):
                yield Entry(source, str(row), size or 0, origin.mtime_ns, label_of(label), origin)
                row += 1


def check(root: str) -> None:
    """Raises SourceError unless the file is Parquet with a column of pictures."""
    _picture_column(Table(Origin.now("parquet", root)))


def read_row(origin: Origin, row: int) -> bytes:
    """The bytes of one row. Rows asked for in order cost one pass over the file for each thread that asks."""
    return _opened(origin).read(row)


class _Rows:
    """The pictures of an open file, with a cursor that moves forward in one row group; used by one thread."""

    def __init__(self, origin: Origin) -> None:
        self.table = Table(origin)
        self._column = _picture_column(self.table)
        self._group = -1
        self._cursor: Iterator[Any] | None = None
        self._first = 0
        self._pictures: Any = None

    def read(self, row: int) -> bytes:
        table = self.table
        if not 0 <= row < len(table):
            raise PictureError("the Parquet file has no such row any more")
        group = bisect_right(table.starts, row) - 1
        if self._cursor is None or group != self._group or row < self._first:
            self._group, self._cursor = group, table.batches(group, [self._column])
            self._first, self._pictures = table.starts[group], ()
        while row >= self._first + len(self._pictures):
            self._first += len(self._pictures)
            self._pictures = ()  # let go of the old batch before the next is read
            batch = next(self._cursor, None)
            if batch is None:
                self._cursor = None
                raise table.damaged("rows are missing")
            self._pictures = _bytes(batch.column(0))
        value = self._pictures[row - self._first].as_py()
        if value is None:
            raise PictureError("the row holds no picture bytes (a path alone is not followed)")
        return bytes(value)


_here = threading.local()


def _opened(origin: Origin) -> _Rows:
    """This thread's open table for an origin; a rewritten file has another origin. At most a few stay open."""
    key = (os.getpid(), origin)
    tables: dict[tuple[int, Origin], _Rows] = _here.__dict__.setdefault("tables", {})
    table = tables.pop(key, None) or _Rows(origin)
    tables[key] = table  # the most recently used is the last
    while len(tables) > _OPEN_FILES:
        tables.pop(next(iter(tables))).table.close()
    return table


def picture_column(schema: Any) -> str | None:
    """`image` or `img`: a struct with `bytes`, or binary itself; as the name pyarrow reads it by, or None."""
    from pyarrow import types

    def is_bytes(kind: Any) -> bool:
        return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))

    for name in ("image", "img"):
        if name not in schema.names:
            continue
        kind = schema.field(name).type
        if (
            types.is_struct(kind)
            and kind.get_field_index("bytes") >= 0
            and is_bytes(kind.field("bytes").type)
        ):
            return f"{name}.bytes"
        if is_bytes(kind):
            return name
    return None


def _picture_column(table: Table) -> str:
    found = picture_column(table.schema)
    if found is not None:
        return found
    listed = ", ".join(f"{field.name}: {field.type}" for field in table.schema)
    raise SourceError(
        f"The Parquet file {shown(table.root)} has no column `image` or `img` that holds pictures as bytes, and none "
        f"of vectors (it has {listed or 'no columns'}): rename or write the column in the Hugging Face layout."
    )


def _bytes(column: Any) -> Any:
    """The binary array of a picture column, struct or plain."""
    from pyarrow import types

    return column.field("bytes") if types.is_struct(column.type) else column

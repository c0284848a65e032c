"""Pictures in a Parquet file of the Hugging Face layout: a column of encoded pictures, a row number as the key."""

from __future__ import annotations

import json
import os
import threading
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from sightbook.errors import PictureError, SourceError
from sightbook.images.entry import Entry, Label, Origin, vanished
from sightbook.images.names import shown

# What is held of one file at a time; Hugging Face writes row groups of about this size, others write them of any size.
_BATCH_BYTES = 32 << 20
_OPEN_FILES = 4


def entries(source: str, root: str) -> Iterator[Entry]:
    """The rows of a Parquet file in order; `size` is the picture's bytes, found without decoding any.

    Raises SourceError when the file is gone, damaged or without a column of pictures.
    """
    from pyarrow import compute

    origin = Origin.now("parquet", root)
    table = _Table(origin)
    columns = [table.bytes_column, *(["label"] if table.has_label else [])]
    row = 0
    for group in range(table.file.metadata.num_row_groups):
        for batch in table.batches(group, columns):
            sizes = compute.binary_length(_bytes(batch.column(0))).to_pylist()
            labels = batch.column(1).to_pylist() if table.has_label else [None] * len(sizes)
            for size, label in zip(sizes, labels, strict=True):
                yield Entry(source, str(row), size or 0, origin.mtime_ns, _label(label), origin)
                row += 1


def label_names(root: str) -> list[str] | None:
    """The names of the integer labels, from the Hugging Face metadata; None when they are not told."""
    return _Table(Origin.now("parquet", root)).label_names


def check(root: str) -> int:
    """The number of rows; raises SourceError unless the file is Parquet with a column of pictures."""
    return int(_Table(Origin.now("parquet", root)).file.metadata.num_rows)


def read_row(origin: Origin, row: int) -> bytes:
    """The bytes of one row. Rows asked for in order cost one pass over the file for each thread that asks."""
    return _opened(origin).read(row)


class _Table:
    """An open Parquet file with a cursor that moves forward in one row group; used by one thread."""

    def __init__(self, origin: Origin) -> None:
        import pyarrow
        import pyarrow.parquet

        self.root = origin.root
        self.errors: tuple[type[Exception], ...] = (pyarrow.ArrowException, OSError)
        try:
            self.file: Any = pyarrow.parquet.ParquetFile(self.root, pre_buffer=False, buffer_size=1 << 20)
        except FileNotFoundError as error:
            raise vanished(self.root) from error
        except self.errors as error:
            raise self._damaged(error) from error
        schema = self.file.schema_arrow
        self.bytes_column = _picture_column(schema, self.root)
        self.has_label = "label" in schema.names and _is_label(schema.field("label").type)
        self.label_names = _names(schema.metadata)
        metadata = self.file.metadata
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self.starts = list(accumulate(sizes, initial=0))
        self._group = -1
        self._cursor: Iterator[Any] | None = None
        self._first = 0
        self._pictures: Any = None

    def read(self, row: int) -> bytes:
        if not 0 <= row < self.starts[-1]:
            raise PictureError("the Parquet file has no such row any more")
        group = bisect_right(self.starts, row) - 1
        if self._cursor is None or group != self._group or row < self._first:
            self._group, self._cursor = group, self.batches(group, [self.bytes_column])
            self._first, self._pictures = self.starts[group], ()
        while row >= self._first + len(self._pictures):
            self._first += len(self._pictures)
            self._pictures = ()  # let go of the old batch before the next is read
            batch = next(self._cursor, None)
            if batch is None:
                self._cursor = None
                raise self._damaged("rows are missing")
            self._pictures = _bytes(batch.column(0))
        value = self._pictures[row - self._first].as_py()
        if value is None:
            raise PictureError("the row holds no picture bytes (a path alone is not followed)")
        return bytes(value)

    def batches(self, group: int, columns: list[str]) -> Iterator[Any]:
        """Record batches of one row group: the whole group when it is small, pieces of it when it is large."""
        about = self.file.metadata.row_group(group)
        if not about.num_rows:
            return
        rows = max(1, min(about.num_rows, _BATCH_BYTES * about.num_rows // max(1, about.total_byte_size)))
        try:
            yield from self.file.iter_batches(
                batch_size=rows, row_groups=[group], columns=columns, use_threads=False
            )
        except self.errors as error:
            raise self._damaged(error) from error

    def _damaged(self, why: object) -> SourceError:
        first_line = str(why).strip().partition("\n")[0].rstrip(".")
        return SourceError(
            f"The Parquet file {shown(self.root)} is damaged or not Parquet ({first_line}): fetch or write it again."
        )


_here = threading.local()


def _opened(origin: Origin) -> _Table:
    """This thread's open table for an origin; a rewritten file has another origin. At most a few stay open."""
    key = (os.getpid(), origin)
    tables: dict[tuple[int, Origin], _Table] = _here.__dict__.setdefault("tables", {})
    table = tables.pop(key, None) or _Table(origin)
    tables[key] = table  # the most recently used is the last
    while len(tables) > _OPEN_FILES:
        tables.pop(next(iter(tables))).file.close()
    return table


def _picture_column(schema: Any, root: str) -> str:
    """`image` or `img`: a struct with `bytes`, or binary itself; as the name pyarrow reads it by."""
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
    listed = ", ".join(f"{field.name}: {field.type}" for field in schema)
    raise SourceError(
        f"The Parquet file {shown(root)} has no column `image` or `img` that holds pictures as bytes "
        f"(it has {listed or 'no columns'}): rename or write the column in the Hugging Face layout."
    )


def _bytes(column: Any) -> Any:
    """The binary array of a picture column, struct or plain."""
    from pyarrow import types

    return column.field("bytes") if types.is_struct(column.type) else column


def _is_label(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    return bool(types.is_integer(kind) or types.is_string(kind) or types.is_large_string(kind))


def _label(value: object) -> Label:
    return value if isinstance(value, (int, str)) else None


def _names(metadata: dict[bytes, bytes] | None) -> list[str] | None:
    """features.label.names of the Hugging Face schema metadata, when it is there and well formed."""
    try:
        document = json.loads((metadata or {})[b"huggingface"])
        names = document["info"]["features"]["label"]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return names

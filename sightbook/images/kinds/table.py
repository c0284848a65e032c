"""An open Parquet file: its row groups in batches, its labels. Which column is wanted, the kinds of sources say."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, repeat
from typing import Any

from sightbook.errors import PictureError, SourceError
from sightbook.images.entry import unreachable
from sightbook.images.label import LABEL_COLUMNS, Label, label_of
from sightbook.images.names import escape
from sightbook.images.source import Labels

# What is held of one file at a time; Hugging Face writes row groups of about this size, others write them of any size.
BATCH_BYTES = 32 << 20


class Table:
    """A Parquet file, opened; SourceError when it is gone or damaged. starts: the first row of each row group, and the
    number of rows; label: the column of labels, `column` or one of the usual names, None where there is none; told:
    what it tells of them."""

    def __init__(self, root: str, column: str | None = None) -> None:
        import pyarrow
        import pyarrow.parquet

        self.root = root
        self._errors: tuple[type[Exception], ...] = (pyarrow.ArrowException, OSError)
        try:
            self.file: Any = pyarrow.parquet.ParquetFile(self.root, pre_buffer=False, buffer_size=1 << 20)
        except self._errors as error:
            raise self.damaged(error) from error
        self.schema: Any = self.file.schema_arrow
        columns = [field.name for field in self.schema if _is_label(field.type)]
        wanted = LABEL_COLUMNS if column is None else (column,)
        self.label = next((name for name in wanted if name in columns), None)
        self.told = Labels(_names(self.schema.metadata, self.label), columns)
        metadata = self.file.metadata
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self.starts = list(accumulate(sizes, initial=0))

    def __len__(self) -> int:
        return int(self.starts[-1])

    def close(self) -> None:
        self.file.close()

    def batches(self, group: int, columns: list[str]) -> Iterator[Any]:
        """Record batches of one row group: the whole group when it is small, pieces of it when it is large."""
        about = self.file.metadata.row_group(group)
        if not about.num_rows:
            return
        rows = max(1, min(about.num_rows, BATCH_BYTES * about.num_rows // max(1, about.total_byte_size)))
        try:
            yield from self.file.iter_batches(
                batch_size=rows, row_groups=[group], columns=columns, use_threads=False
            )
        except self._errors as error:
            raise self.damaged(error) from error

    def labels(self, group: int) -> Iterator[Label]:
        """The labels of one row group, for evaluation; None for each row where there is no such column."""
        if self.label is None:
            yield from repeat(None, self.starts[group + 1] - self.starts[group])
            return
        for batch in self.batches(group, [self.label]):
            yield from map(label_of, batch.column(0).to_pylist())

    def damaged(self, why: object) -> SourceError:
        if isinstance(why, OSError) and why.errno is not None:  # of the system, and not of pyarrow
            return unreachable(self.root, why)
        first_line = str(why).strip().partition("\n")[0].rstrip(".")
        return SourceError(
            f"The Parquet file {escape(self.root)} is damaged or not Parquet ({first_line}): fetch or write it again."
        )


class Cursor:
    """A place in one column, which moves forward in one row group: rows asked for in order cost one pass over the file.
    Used by one thread. unpack: makes rows of an array of pyarrow."""

    def __init__(self, table: Table, column: str, unpack: Callable[[Any], Sequence[Any]]) -> None:
        self._table, self._column, self._unpack = table, column, unpack
        self._group, self._first = -1, 0
        self._batches: Iterator[Any] | None = None
        self._rows: Sequence[Any] = ()

    def read(self, row: int) -> Any:
        """One row; PictureError when there is none of this number."""
        if not 0 <= row - self._first < len(self._rows):
            self._move(row)
        return self._rows[row - self._first]

    def _move(self, row: int) -> None:
        table = self._table
        if not 0 <= row < len(table):
            raise PictureError("the Parquet file has no such row any more")
        group = bisect_right(table.starts, row) - 1
        if self._batches is None or group != self._group or row < self._first:
            self._group, self._batches = group, table.batches(group, [self._column])
            self._first, self._rows = table.starts[group], ()
        while row >= self._first + len(self._rows):
            self._first += len(self._rows)
            self._rows = ()  # let go of the old batch before the next is read
            batch = next(self._batches, None)
            if batch is None:
                self._batches = None
                raise table.damaged("rows are missing")
            self._rows = self._unpack(batch.column(0))


def _is_label(kind: Any) -> bool:
    """Whether a column can hold labels: whole numbers, text, yes or no, numbers, or lists of whole numbers or text
    (lists of other numbers are vectors)."""
    from pyarrow import types

    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        kind = kind.value_type
        return bool(types.is_integer(kind) or types.is_string(kind) or types.is_large_string(kind))
    if types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        types.is_integer(kind)
        or types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
        or types.is_boolean(kind)
        or types.is_floating(kind)
    )


def _names(metadata: dict[bytes, bytes] | None, column: str | None) -> list[str] | None:
    """features.COLUMN.names of the Hugging Face schema metadata, also of a list of such, when it is there and well
    formed."""
    try:
        feature = json.loads((metadata or {})[b"huggingface"])["info"]["features"][column]
        if isinstance(feature, list):
            feature = feature[0]
        names = feature["names"] if "names" in feature else feature["feature"]["names"]
    except (KeyError, IndexError, TypeError, ValueError, RecursionError):
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return names


def picture_column(schema: Any) -> str | None:
    """`image` or `img`: a struct with `bytes`, or binary itself; as the name pyarrow reads it by, or None."""
    from pyarrow import types

    def is_bytes(kind: Any) -> bool:
        return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))

    for name in ("image", "img"):
        if schema.get_field_index(name) < 0:  # there is none, or there are several
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

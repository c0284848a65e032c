"""Pictures in a Parquet file of the Hugging Face layout: a column of encoded pictures, a row number as the key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sightbook.errors import PictureError, SourceError
from sightbook.images.empty import quote
from sightbook.images.entry import EmptySource, Entry, Origin
from sightbook.images.kinds import vectors
from sightbook.images.kinds.open_files import keep_open
from sightbook.images.kinds.rows import vector_columns
from sightbook.images.kinds.table import Cursor, Table, picture_column
from sightbook.images.label import label_of
from sightbook.images.left_out import Left
from sightbook.images.names import escape
from sightbook.images.source import Labels, Source, SourceKind

_SUFFIX = ".parquet"


def recognize(path: Path) -> bool:
    """By the suffix alone."""
    return path.suffix.lower() == _SUFFIX and path.is_file()


def open_parquet(path: Path) -> Source:
    """The file; a source of vectors where it has no pictures and a column of vectors."""
    source = Source.at(KIND, path)
    table = Table(str(source.root))
    if not len(table):
        raise EmptySource(
            f"There are no rows in the Parquet file {quote(path)}: check that it is the right one."
        )
    if picture_column(table.schema) is None and vector_columns(table.schema):
        return vectors.open_file(path)
    _picture_column(table)
    return source


def entries(source: Source, left: Left) -> Iterator[Entry]:
    """The rows of a Parquet file in order; `size` is the picture's bytes, found without decoding any."""
    from pyarrow import compute

    origin = Origin.now(KIND, str(source.root))
    table = Table(origin.root, source.label_column)
    columns = [_picture_column(table), *([] if table.label is None else [table.label])]
    row = 0
    for group in range(table.file.metadata.num_row_groups):
        for batch in table.batches(group, columns):
            sizes = compute.binary_length(_bytes(batch.column(0))).to_pylist()
            labels = [None] * len(sizes) if table.label is None else batch.column(1).to_pylist()
            for size, label in zip(sizes, labels, strict=True):
                yield Entry(source.id, str(row), size or 0, origin.mtime_ns, label_of(label), origin)
                row += 1


def read(origin: Origin, entry: Entry, limit: int) -> bytes:
    """The bytes of one row. Rows asked for in order cost one pass over the file for each thread that asks."""
    value = keep_open(origin, _Pictures).cursor.read(int(entry.path)).as_py()
    if value is None:
        raise PictureError("the row holds no picture bytes (a path alone is not followed)")
    return bytes(value)


def labels(source: Source) -> Labels:
    """What the Hugging Face layout tells of labels."""
    return Table(str(source.root), source.label_column).told


class _Pictures:
    """An open file, with a place in its column of pictures."""

    def __init__(self, root: str) -> None:
        table = Table(root)
        self.close = table.close
        self.cursor = Cursor(table, _picture_column(table), _bytes)


def _picture_column(table: Table) -> str:
    found = picture_column(table.schema)
    if found is not None:
        return found
    listed = ", ".join(f"{field.name}: {field.type}" for field in table.schema)
    raise SourceError(
        f"The Parquet file {escape(table.root)} has no column `image` or `img` that holds pictures as bytes, and none "
        f"of vectors (it has {listed or 'no columns'}): rename or write the column in the Hugging Face layout."
    )


def _bytes(column: Any) -> Any:
    """The binary array of a picture column, struct or plain."""
    import pyarrow
    from pyarrow import types

    found = column.field("bytes") if types.is_struct(column.type) else column
    # pyarrow does not count the bytes of views.
    return found.cast(pyarrow.large_binary()) if types.is_binary_view(found.type) else found


KIND = SourceKind(
    "parquet", " row ", recognize, open_parquet, entries, read,
    labels=labels, suffixes=(_SUFFIX,), either=True,
)  # fmt: skip

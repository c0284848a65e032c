"""Vectors that were made elsewhere: the rows of a `.npy` file or of a Parquet file's column, by their number."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sightbook.errors import PictureError
from sightbook.images.entry import Entry, Origin
from sightbook.images.kinds.npy import is_array, is_npy
from sightbook.images.kinds.open_files import keep_open
from sightbook.images.kinds.rows import Vector, open_rows
from sightbook.images.kinds.table import Table
from sightbook.images.left_out import Left
from sightbook.images.source import Labels, Source, SourceKind


def recognize(path: Path) -> bool:
    """A `.npy`; Parquet files that hold vectors are found out when they are opened (`parquet.open_parquet`)."""
    return is_npy(path) and path.is_file()


def open_file(path: Path) -> Source:
    """The file, once there is a vector in it."""
    source = Source.at(KIND, path)
    open_rows(str(source.root)).close()
    return source


def entries(source: Source, left: Left) -> Iterator[Entry]:
    """The rows of a file in order. `size` is that of the first vector: how long each one is shows when it is read."""
    origin = Origin.now(KIND, str(source.root))
    file = open_rows(origin.root, source.label_column)
    size = 4 * file.shape[1]
    for row, label in enumerate(file.labels()):
        yield Entry(source.id, str(row), size, origin.mtime_ns, label, origin)


def read(origin: Origin, entry: Entry, limit: int) -> bytes:
    """A row as F little-endian float32. PictureError when there is no such row, or no vector in it."""
    (vector,) = keep_open(origin, open_rows).take([int(entry.path)])
    if isinstance(vector, str):
        raise PictureError(vector)
    return stored(vector)


def stored(vector: Vector) -> bytes:
    """The bytes that a vector (F,) is known by."""
    return vector.astype("<f4", copy=False).tobytes()


def labels(source: Source) -> Labels:
    """What a Parquet file tells of labels; a `.npy` has none."""
    return Labels() if is_array(source.root) else Table(str(source.root), source.label_column).told


KIND = SourceKind(
    "vectors", " row ", recognize, open_file, entries, read, labels=labels, suffixes=(".npy",), rows=open_rows
)

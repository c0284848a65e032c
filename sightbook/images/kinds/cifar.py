"""CIFAR-10 in its binary version: files of records, one byte of class and 3 × 1024 bytes of red, green, blue planes.

https://www.cs.toronto.edu/~kriz/cifar.html; the Python version of the same page is pickled and not opened.
"""

# Plain strings, as in the other kinds of sources.
# ruff: noqa: PTH118, PTH123, PTH202

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightbook.errors import PictureError, SourceError
from sightbook.images.entry import Entry, Origin, vanished
from sightbook.images.left_out import Left
from sightbook.images.names import escape
from sightbook.images.source import Labels, Source, SourceKind

SIDE = 32
_RECORD = 1 + 3 * SIDE * SIDE
_NAMES = "batches.meta.txt"
_BATCH = re.compile(r"(data_batch_\d+|test_batch)\.bin")
_CLASSES = 10


def recognize(path: Path) -> bool:
    """The name of a batch, as CIFAR-10 is published: data_batch_1.bin … test_batch.bin. Other files of its size are
    something else."""
    return _BATCH.fullmatch(path.name.lower()) is not None and path.is_file()


def open_batch(path: Path) -> Source:
    """The file; SourceError when it is no batch by its size, or by its classes."""
    source = Source.at(KIND, path)
    root = str(source.root)
    size = os.path.getsize(root)
    if not size or size % _RECORD:
        raise SourceError(
            f"{escape(root)} has the name of a batch of CIFAR-10, and {size:,} bytes, which are no whole records of "
            f"{_RECORD:,}: unpack it again, or give it another name."
        )
    highest = int(_classes(root).max())
    if highest >= _CLASSES:
        raise SourceError(
            f"{escape(root)} has the name of a batch of CIFAR-10, and a class {highest}, where there are 0 to "
            f"{_CLASSES - 1}: unpack it again, or give it another name."
        )
    return source


def _classes(root: str) -> NDArray[np.uint8]:
    try:
        with open(root, "rb") as file:
            return np.frombuffer(file.read(), np.uint8)[::_RECORD]
    except OSError as error:
        raise vanished(root) from error


def entries(source: Source, left: Left) -> Iterator[Entry]:
    """The pictures of a batch by record number, with their class numbers."""
    origin = Origin.now(KIND, str(source.root))
    for row, label in enumerate(_classes(origin.root).tolist()):
        yield Entry(source.id, str(row), 3 * SIDE * SIDE, origin.mtime_ns, label, origin, row * _RECORD)


def read(origin: Origin, entry: Entry, limit: int | None) -> bytes:
    """A record as the bytes of a PNG file."""
    from PIL import Image

    with open(origin.root, "rb", buffering=0) as file:
        file.seek(int(entry.path) * _RECORD)
        data = file.read(_RECORD)
    if len(data) < _RECORD:
        raise PictureError("the file has no record of this number any more")
    planes = np.frombuffer(data, np.uint8, offset=1).reshape(3, SIDE, SIDE)
    png = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0))).save(png, "PNG", compress_level=1)
    return png.getvalue()


def head(origin: Origin, entry: Entry, size: int) -> bytes:
    """Nothing: a record has no header that could say how it is read."""
    return b""


def labels(source: Source) -> Labels:
    """The names of the classes, where the file that tells them lies beside the batch."""
    path = os.path.join(source.root.parent, _NAMES)
    try:
        with open(path, encoding="utf-8") as file:
            names = [line.strip() for line in file if line.strip()]
    except OSError:
        return Labels()
    except UnicodeDecodeError:
        raise SourceError(f"{escape(path)} is no text: put the file of the download back") from None
    return Labels(names or None)


KIND = SourceKind("cifar", " row ", recognize, open_batch, entries, read, head, labels)

"""CIFAR-10 in its binary version: files of records, one byte of class and 3 × 1024 bytes of red, green, blue planes.

https://www.cs.toronto.edu/~kriz/cifar.html; the Python version of the same page is pickled and not opened.
"""

# Plain strings, as in the other kinds of sources.
# ruff: noqa: PTH118, PTH123, PTH202

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightbook.errors import PictureError, SourceError
from sightbook.images.entry import Entry, Origin, unreachable
from sightbook.images.left_out import Left
from sightbook.images.names import escape
from sightbook.images.source import Labels, Source, SourceKind

SIDE = 32
_PIXELS = 3 * SIDE * SIDE
_RECORD = 1 + _PIXELS
_NAMES = "batches.meta.txt"
_BATCH = re.compile(r"(data_batch_\d+|test_batch)\.bin")
_CLASSES = 10
# Of a BMP file of 24 bits, whose first row is the upper one. Not PNG: its bytes, and the digest that a picture is known
# by, would hang on which zlib the system has.
_HEAD = struct.pack("<2sI4xIIiiHHI4x8x8x", b"BM", 54 + _PIXELS, 54, 40, SIDE, -SIDE, 1, 24, 0)


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
        raise unreachable(root, error) from error


def entries(source: Source, left: Left) -> Iterator[Entry]:
    """The pictures of a batch by record number, with their class numbers."""
    origin = Origin.now(KIND, str(source.root))
    for row, label in enumerate(_classes(origin.root).tolist()):
        yield Entry(source.id, str(row), len(_HEAD) + _PIXELS, origin.mtime_ns, label, origin, row * _RECORD)


def read(origin: Origin, entry: Entry, limit: int) -> bytes:
    """A record as the bytes of a BMP file."""
    with open(origin.root, "rb", buffering=0) as file:
        file.seek(int(entry.path) * _RECORD)
        data = file.read(_RECORD)
    if len(data) < _RECORD:
        raise PictureError("the file has no record of this number any more")
    red_green_blue = np.frombuffer(data, np.uint8, offset=1).reshape(3, SIDE, SIDE)
    return _HEAD + red_green_blue[::-1].transpose(1, 2, 0).tobytes()


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


KIND = SourceKind("cifar", " row ", recognize, open_batch, entries, read, labels=labels)

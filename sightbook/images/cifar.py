"""CIFAR-10 in its binary version: files of records, one byte of class and 3 × 1024 bytes of red, green, blue planes.

https://www.cs.toronto.edu/~kriz/cifar.html; the Python version of the same page is pickled and not opened.
"""

# Plain strings, as in the other kinds of sources.
# ruff: noqa: PTH118, PTH120, PTH123, PTH202

from __future__ import annotations

import io
import os
from collections.abc import Iterator

import numpy as np

from sightbook.errors import PictureError, SourceError
from sightbook.images.entry import Entry, Origin, vanished
from sightbook.images.names import shown

SIDE = 32
_RECORD = 1 + 3 * SIDE * SIDE
_NAMES = "batches.meta.txt"


def is_batch(path: str) -> bool:
    """Whether a file has the name and the size of a batch."""
    if not path.lower().endswith(".bin"):
        return False
    size = os.path.getsize(path)
    return size > 0 and size % _RECORD == 0


def entries(source: str, root: str) -> Iterator[Entry]:
    """The pictures of a batch by record number, with their class numbers."""
    origin = Origin.now("cifar", root)
    try:
        with open(root, "rb") as file:
            classes = np.frombuffer(file.read(), np.uint8)[::_RECORD]
    except OSError as error:
        raise vanished(root) from error
    for row, label in enumerate(classes.tolist()):
        yield Entry(source, str(row), 3 * SIDE * SIDE, origin.mtime_ns, label, origin, row * _RECORD)


def read_record(origin: Origin, path: str) -> bytes:
    """A record as the bytes of a PNG file."""
    from PIL import Image

    with open(origin.root, "rb", buffering=0) as file:
        file.seek(int(path) * _RECORD)
        data = file.read(_RECORD)
    if len(data) < _RECORD:
        raise PictureError("the file has no record of this number any more")
    planes = np.frombuffer(data, np.uint8, offset=1).reshape(3, SIDE, SIDE)
    png = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0))).save(png, "PNG", compress_level=1)
    return png.getvalue()


def label_names(root: str) -> list[str] | None:
    """The names of the classes, where the file that tells them lies beside the batch."""
    path = os.path.join(os.path.dirname(root), _NAMES)
    try:
        with open(path, encoding="utf-8") as file:
            names = [line.strip() for line in file if line.strip()]
    except OSError:
        return None
    except UnicodeDecodeError:
        raise SourceError(f"{shown(path)} is no text: put the file of the download back") from None
    return names or None

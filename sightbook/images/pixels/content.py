"""The bytes of a picture file: of a regular file only, and not more of them than may be read."""

from __future__ import annotations

import os
import stat
from typing import Any

from sightbook.errors import PictureError
from sightbook.images.pixels.guards import too_large


def open_waiting_for_nobody(path: str, flags: int) -> int:
    """An opener for `open`: opening a pipe that nobody writes to returns at once instead of waiting."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_file(path: str | os.PathLike[str], limit: int) -> bytes:
    """The bytes of a regular file, at most `limit` of them. PictureError for anything else: what has no end (a pipe, a
    device) is never read, and what is too large is refused by its size."""
    try:
        file = open(path, "rb", buffering=0, opener=open_waiting_for_nobody)  # noqa: SIM115  below
    except FileNotFoundError:
        raise PictureError("there is no such file: check the path") from None
    except IsADirectoryError:
        raise PictureError("it is a folder: give a picture file") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise PictureError(f"the file cannot be read ({why}): check its permissions") from None
    with file:
        return read_handle(file, limit)


def read_handle(file: Any, limit: int | None) -> bytes:
    """The same of a file opened without buffer."""
    status = os.fstat(file.fileno())
    if stat.S_ISDIR(status.st_mode):
        raise PictureError("it is a folder: give a picture file")
    if not stat.S_ISREG(status.st_mode):
        raise PictureError("it is a pipe or a device: save the picture to a file first")
    if limit is None:
        return bytes(file.readall())
    if status.st_size > limit:
        raise too_large(status.st_size, limit)
    parts, left = [], limit + 1
    while left and (part := file.read(min(left, max(status.st_size, 1 << 16)))):
        parts.append(part)
        left -= len(part)
    if not left:  # it grew while it was read
        raise too_large(limit + 1, limit)
    return parts[0] if len(parts) == 1 else b"".join(parts)

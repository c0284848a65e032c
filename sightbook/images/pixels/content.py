"""The bytes of a picture file: of a regular file only, and not more of them than may be read."""

from __future__ import annotations

import os
import stat
from typing import Any

from sightbook.errors import PictureError
from sightbook.images.pixels.guards import too_large

_AT_ONCE = 1 << 20


def open_waiting_for_nobody(path: str, flags: int) -> int:
    """An opener for `open`: opening a pipe that nobody writes to returns at once instead of waiting."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_file(path: str | os.PathLike[str], limit: int) -> bytes:
    """The bytes of a regular file, at most `limit` of them. PictureError for anything else: what has no end (a pipe, a
    device) is never read, and what is too large is refused by its size."""
    try:
        with open(path, "rb", buffering=0, opener=open_waiting_for_nobody) as file:
            return read_handle(file, limit)
    except FileNotFoundError:
        raise PictureError("there is no such file: check the path") from None
    except IsADirectoryError:
        raise PictureError("it is a folder: give a picture file") from None
    except (OSError, ValueError) as error:  # the latter for what is no path
        why = getattr(error, "strerror", None) or error
        raise PictureError(f"the file cannot be read ({why}): check it") from None


def read_handle(file: Any, limit: int) -> bytes:
    """The same of a file opened without buffer."""
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise PictureError("it is a pipe or a device: save the picture to a file first")
    if status.st_size > limit:
        raise too_large(status.st_size, limit)
    return _read(file, limit, max(status.st_size, 1 << 16))


def read_object(file: Any, limit: int) -> bytes:
    """What is left of an open file of Python's, which need not be one of the system's; it is put back where it was."""
    if not (hasattr(file, "seekable") and file.seekable()):
        return _read(file, limit, _AT_ONCE)
    place = file.tell()
    size = file.seek(0, os.SEEK_END) - place
    file.seek(place)
    if size > limit:
        raise too_large(size, limit)
    data = _read(file, limit, _AT_ONCE)
    file.seek(place)
    return data


def _read(file: Any, limit: int, at_once: int) -> bytes:
    parts, left = [], limit + 1
    while left > 0 and (part := file.read(min(left, at_once))):
        if not isinstance(part, bytes):
            raise PictureError(
                f"reading it gives {type(part).__name__} and not bytes: open it with mode 'rb', or give its bytes"
            )
        parts.append(part)
        left -= len(part)
    if left <= 0:  # it grew while it was read, or does not end
        raise too_large(limit + 1, limit)
    return parts[0] if len(parts) == 1 else b"".join(parts)

"""Files that stay open from one read to the next, a few for each thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from sightbook.images.entry import Origin

_OPEN_FILES = 4
_T = TypeVar("_T")
_here = threading.local()


def keep_open(origin: Origin, open_it: Callable[[str], _T]) -> _T:
    """This thread's open file for an origin; a rewritten file has another origin. At most a few stay open."""
    key = (os.getpid(), origin)
    files: dict[tuple[int, Origin], Any] = _here.__dict__.setdefault("files", {})
    file: _T = files.pop(key, None) or open_it(origin.root)
    files[key] = file  # the most recently used is the last
    while len(files) > _OPEN_FILES:
        files.pop(next(iter(files))).close()
    return file

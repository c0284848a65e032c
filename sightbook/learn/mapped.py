"""Numbers that a run computes once, kept in mapped files; beside them stands how far they are.

A record names what the numbers are of, by a key: a run that was stopped goes on with its own, anything else makes them
anew.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from sightbook.errors import ConfigError
from sightbook.learn.settings.sections import FeaturesConfig

RECORD_SECONDS = 5.0  # between two records of how far it is


def reserve(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """The numbers in the file as they are; new ones where there is no file, or one of another size.

    Disk space is taken at once: a disk that fills up later would kill the process. A file of the right size is never
    cut: another run on the same pictures may be writing the same numbers to it.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    with path.open("ab") as file:
        if file.tell() != size:
            try:
                file.truncate(size)
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                path.unlink()
                raise OSError(error.errno, error.strerror, str(path)) from None
    return np.memmap(path, dtype, "r+", shape=shape)


def holds(path: Path, size: int) -> bool:
    """Whether the file is there, with so many bytes."""
    return path.exists() and path.stat().st_size == size


def read_record(path: Path, key: str) -> dict[str, Any]:
    """What was recorded of the numbers of this key; nothing where there is no record, or one of another key."""
    try:
        said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return said if said["key"] == key else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def place_of(settings: FeaturesConfig, work: Path) -> Path:
    """The folder of a network's features: `features.folder`, else that of the run. ConfigError where it is a file."""
    folder = work if settings.folder is None else Path(settings.folder)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"features.folder {folder} is a file: give a folder")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def check_room(size: int, what: str, settings: FeaturesConfig, data: Path, less: str = "") -> None:
    """ConfigError where the file `data` of so many bytes is above the limit, or the free disk space. less: how to need
    less than for `what`."""
    needed = f"{what} need {size / 2**30:.2f} GiB"
    if size > settings.limit_gib * 2**30:
        raise ConfigError(
            f"{needed}, above features.limit_gib {settings.limit_gib:g}: raise it{less and f', or {less}'}"
        )
    already = data.stat().st_size if data.exists() else 0
    free = shutil.disk_usage(data.parent).free
    if size - already > free:
        raise ConfigError(
            f"{needed}, but the disk of {data.parent} has {free / 2**30:.2f} GiB left: free some, "
            f"{less and f'{less}, '}or give features.folder on another disk"
        )

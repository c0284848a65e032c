"""What a file or folder is, by whatever name it was reached, and what its name says of where it lies."""

# Plain strings: as many paths as pictures.
# ruff: noqa: PTH116, PTH118

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from sightbook.images import find
from sightbook.images.names import to_native

Inode = tuple[int, int]  # device and inode


def of(path: str | Path) -> Inode | None:
    """What a file or folder is, by whatever name; None when it cannot be looked at."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def is_gone(root: str) -> bool:
    """Whether nothing has this name any more. What may not be looked at is not gone."""
    try:
        os.lstat(root)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def folders(root: str, paths: Iterable[str]) -> dict[Inode, str]:
    """The folders that these paths lie in, the root ('') and all between among them, by identity."""
    known = {""}
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder not in known:
            known.add(folder)
            folder = folder.rpartition("/")[0]
    found: dict[Inode, str] = {}
    for folder in sorted(known, key=len):
        here = of(os.path.join(root, to_native(folder)))
        if here is not None:
            found.setdefault(here, folder)
    return found


def below(path: str, root: str) -> str | None:
    """The path relative to the root, POSIX style, where it lies below it by name."""
    begin = root.rstrip(os.sep) + os.sep
    return path[len(begin) :].replace(os.sep, "/") if path.startswith(begin) else None


def is_hidden(path: str) -> bool:
    """Whether a walk passes over it."""
    return any(map(find.is_hidden, path.split("/")))

"""Atomic writing: a reader sees the old file or the new one, never half of either."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# In every sheet and plot, where programs that show pictures do not look: so that none is taken for a photo.
MARK = "drawn by sightbook"


@contextmanager
def replace_atomic(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success it is flushed to disk and takes `path`'s name."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _new_beside(path)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _new_beside(path: Path) -> Path:
    """An empty file beside `path`, under a name that nobody has, with the rights that the user's umask gives new files:
    `tempfile` makes private ones, and a process's umask cannot be asked for without changing it for all its threads."""
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{path.suffix}")
        try:
            os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666))
        except FileExistsError:
            continue
        return temporary


def write_atomic(path: Path, content: bytes | str) -> None:
    """Writes a whole file atomically; text is UTF-8."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    with replace_atomic(path) as temporary:
        temporary.write_bytes(data)


def _sync_folder(folder: Path) -> None:
    """Makes a rename durable; not every platform lets a folder be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)

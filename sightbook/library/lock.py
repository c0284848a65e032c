"""One writer at a time: a lock on LIBRARY/writer.lock that the system itself releases when its holder dies."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from sightbook.errors import LibraryError
from sightbook.library.database import read_only

NAME = "writer.lock"


@contextmanager
def writer_lock(library: Path, *, or_read_only: bool = False) -> Iterator[bool]:
    """Holds the library's writer lock; LibraryError names the holding process when there is one.

    Yields whether it is held: with or_read_only it is not where the library cannot be written at all, and that is no
    error.

    The file stays behind, empty: deleting it would let two writers lock two different files of the same name.
    """
    try:
        handle = os.open(library / NAME, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise
        if not or_read_only:
            raise LibraryError(read_only(library)) from error
        handle = -1
    if handle < 0:
        yield False
        return
    try:
        try:
            _lock(handle)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
                raise LibraryError(
                    f"{library} cannot be locked ({error}): its file system offers no locks, keep it on another one"
                ) from error
            holder = os.read(handle, 200).decode("utf-8", "replace").strip() or "another process"
            raise LibraryError(
                f"{library} is being written by {holder}: wait for it to end and run the same command again"
            ) from None
        os.ftruncate(handle, 0)
        started = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        os.write(handle, f"process {os.getpid()} since {started}\n".encode())
        try:
            yield True
        finally:
            # A full disk must not hide the error on its way out.
            with contextlib.suppress(OSError):
                os.ftruncate(handle, 0)
    finally:
        os.close(handle)


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        # Windows locks are mandatory: one byte far behind the text leaves the text readable to the others.
        os.lseek(handle, 1 << 20, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

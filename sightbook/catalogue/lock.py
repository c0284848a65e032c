"""One writer at a time: a lock on LIBRARY/writer.lock that the system itself releases when its holder dies."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path

from sightbook.arguments import described
from sightbook.catalogue.database import read_only
from sightbook.errors import ConfigError, LibraryError

NAME = "writer.lock"


_TICK = 0.1  # seconds between two looks
# How long a writer waits for another one, and whom it tells.
_patience: ContextVar[tuple[float, Callable[[str], None]]] = ContextVar(
    "patience", default=(0.0, lambda text: None)
)


@contextmanager
def waiting(seconds: float, tell: Callable[[str], None] = lambda text: None) -> Iterator[None]:
    """Lets writers inside wait so long for another one to end. 0: as before. ConfigError for what is no time."""
    is_time = isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds >= 0
    if not is_time or math.isnan(seconds):
        raise ConfigError(f"wait is {described(seconds)}: give seconds, 0 or more")
    if not seconds:
        yield
        return
    before = _patience.set((seconds, tell))
    try:
        yield
    finally:
        _patience.reset(before)


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
        _take(handle, library)
        os.ftruncate(handle, 0)
        os.lseek(handle, 0, os.SEEK_SET)  # a wait has read who was there
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


def _take(handle: int, library: Path) -> None:
    """Takes the lock, or waits for it as long as `waiting` says."""
    seconds, tell = _patience.get()
    deadline = time.monotonic() + seconds
    told = False
    while True:
        try:
            _lock(handle)
            return
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
                raise LibraryError(
                    f"{library} cannot be locked ({error}): its file system offers no locks, keep it on another one"
                ) from error
        os.lseek(handle, 0, os.SEEK_SET)
        holder = os.read(handle, 200).decode("utf-8", "replace").strip() or "another process"
        left = deadline - time.monotonic()
        if left <= 0:
            waited = f", after {seconds:g} s of waiting" if seconds else ""
            raise LibraryError(
                f"{library} is being written by {holder}{waited}: wait for it to end and run the same command again, "
                "or with --wait SECONDS"
            )
        if not told:
            tell(f"{library} is being written by {holder}: waiting for it, {seconds:g} s at most")
            told = True
        time.sleep(min(_TICK, left))


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

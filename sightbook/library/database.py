"""Connections to a library's SQLite file, and what SQLite's errors mean to a user.

Writers use WAL with full synchronization: a committed batch survives kill -9 and a power cut. Readers never wait for a
writer. A library on a read-only disk cannot have WAL's side files, so it is read as immutable; when a crash left
committed batches in the WAL of such a disk, a copy in the temporary folder is read instead.
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sightbook.errors import LibraryError

# Milliseconds SQLite waits on a lock of its own; only recovery and checkpoints ever hold one that long.
_BUSY_MS = 30_000


def connect_writer(path: Path) -> sqlite3.Connection:
    """Opens for writing; the caller holds the library's writer lock. The file must exist or be creatable."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_MS / 1000)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """Opens an existing catalogue for reading, also on a read-only disk. Usable from any thread, one at a time."""
    try:
        return _probe(path, "mode=rw")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
            raise
        if not path.exists():
            raise
    wal = Path(f"{path}-wal")
    if not wal.exists() or wal.stat().st_size == 0:
        return _probe(path, "immutable=1")
    with tempfile.TemporaryDirectory(prefix="sightbook-") as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        shutil.copyfile(wal, f"{copy}-wal")
        memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        on_disk = sqlite3.connect(copy)
        try:
            on_disk.backup(memory)
        finally:
            on_disk.close()
    return memory


def _probe(path: Path, mode: str) -> sqlite3.Connection:
    """Opens and reads once: SQLite reports most troubles at the first read only."""
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?{mode}",
        uri=True,
        isolation_level=None,
        timeout=_BUSY_MS / 1000,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One write transaction: everything inside is committed, or, on any exception, nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has already rolled back by itself after some errors, a full disk among them.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def explained(library: Path) -> Iterator[None]:
    """Turns SQLite's and the disk's errors into a LibraryError with what to do; anything else passes."""
    try:
        yield
    except sqlite3.Error as error:
        raise LibraryError(_sentence(library, error)) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise LibraryError(_full(library)) from error
        if error.errno == errno.EROFS:
            raise LibraryError(read_only(library)) from error
        raise


def _sentence(library: Path, error: sqlite3.Error) -> str:
    # Primary result codes, https://www.sqlite.org/rescode.html; errors of Python's own module carry none.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return _full(library)
    if code == sqlite3.SQLITE_READONLY:
        return read_only(library)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "no such table" in str(error):
        return (
            f"the catalogue of {library} is damaged ({error}): restore {library / 'catalogue.sqlite'} from a copy, "
            "or build a new library from the same sources"
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"{library} is held by another program ({error}): wait for it to end and try again"
    if code == sqlite3.SQLITE_CANTOPEN:
        return f"the catalogue of {library} cannot be opened: check that it exists and that you may read it"
    return f"the catalogue of {library} cannot be read or written ({error}): check the disk and try again"


def _full(library: Path) -> str:
    return (
        f"the disk that holds {library} is full: what was already committed is kept, free some space and run the same "
        "command again"
    )


def read_only(library: Path) -> str:
    return (
        f"{library} cannot be written: its disk or folder is read-only; change its permissions or copy it to a place "
        "you may write to"
    )

"""Connections to a library's SQLite file, and what SQLite's errors mean to a user.

Writers use WAL with full synchronization: a committed batch survives kill -9 and a power cut. Readers never wait for a
writer. Who may not write beside the file can read along while a writer's side files are there (`reader.py` has what he
does when they are not).
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sightbook.errors import LibraryError

# Whatever SQLite raises, by a name for those who know no SQL.
DatabaseError = sqlite3.Error

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
    """Opens an existing catalogue for reading, usable from any thread, one at a time: each transaction sees one
    committed state. sqlite3.OperationalError (SQLITE_CANTOPEN, SQLITE_READONLY) where that takes a right to write."""
    return probe(path, "mode=rw")


def probe(path: Path, mode: str) -> sqlite3.Connection:
    """Opens and reads once: SQLite reports most troubles at the first read only."""
    connection = sqlite3.connect(
        address(path, mode), uri=True, isolation_level=None, timeout=_BUSY_MS / 1000, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def address(path: Path, mode: str) -> str:
    """The URI of a database, whatever is in its path: `#`, `?`, `%` and `//` at its beginning mean something there."""
    return f"{path.absolute().as_uri()}?{mode}"


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
        if error.errno in (errno.EACCES, errno.EPERM) and _lies_in(error.filename, library):
            raise LibraryError(
                f"{error.filename} may not be read or written by you ({error.strerror}): change the permissions of "
                f"{library}, or copy it to a place of your own"
            ) from error
        raise


def _lies_in(file: object, library: Path) -> bool:
    return isinstance(file, str | bytes | os.PathLike) and library in Path(os.fsdecode(file)).parents


def _sentence(library: Path, error: sqlite3.Error) -> str:
    if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):
        return closed(library)
    # Primary result codes, https://www.sqlite.org/rescode.html; errors of Python's own module carry none.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL or lacks_room(getattr(error, "sqlite_errorcode", 0)):
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


def lacks_room(code: int) -> bool:
    """Whether an extended result code says that there was no room for the side file of shared memory."""
    return code in (sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMSIZE)


def closed(library: Path) -> str:
    return f"{library} was closed: open it again (Library.open) before you use it"


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

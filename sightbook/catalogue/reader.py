"""Reading a catalogue, with and without the right to write beside it; every answer is of one committed state.

SQLite keeps readers and a writer apart by its side files `-wal` and `-shm`. Who may not write can use them while they
are there, that is, while somebody who may has the catalogue open; when nobody has, they are gone and cannot be made.
The same holds for everybody on a full disk.
The file is then read as it stands (`immutable`, which SQLite allows only while nobody writes), or, when a crash left
committed batches in a `-wal` that cannot be played back, as a copy in memory. Both hold only as long as the files look
the same: they are looked at before and after each reading, and when a writer has come by the reading is done again.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from sightbook.catalogue.database import address, connect_reader, lacks_room, probe

_T = TypeVar("_T")
_ROUNDS = 20  # tries to read between two changes of the files
_TICK = 0.02  # seconds; file systems date by the kernel's ticks of up to .01

# Inode, size and time of the catalogue and of its -wal; None for one that is not there.
_Mark = tuple[tuple[int, int, int] | None, ...]


class Reader:
    """A catalogue that is open for reading, from any thread, one at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark: _Mark | None = None  # None: SQLite itself sees to it that a transaction is of one state
        self._inode = self._depth = 0
        self._closed = False
        self._connection = self._open()

    @property
    def connection(self) -> sqlite3.Connection:
        """For one statement, or inside `steadily`."""
        if not self._depth:
            self._renew()
        return self._connection

    def close(self) -> None:
        self._closed = True
        self._connection.close()

    def steadily(self, read: Callable[[], _T]) -> _T:
        """What `read` gives when all that it reads is of one committed state. It may be called several times, and the
        errors of a reading that a writer came into are not its own. Where it leaves something behind, it asks `stands`
        first."""
        if self._depth or self._connection.in_transaction:
            return read()
        for round in range(_ROUNDS):
            self._renew()
            self._depth += 1
            try:
                self._connection.execute("BEGIN")
                try:
                    result = read()
                finally:
                    if self._connection.in_transaction:
                        self._connection.execute("COMMIT")
                if self.stands():
                    return result
            except Exception:
                if self.stands() or round == _ROUNDS - 1:
                    raise
            finally:
                self._depth -= 1
        raise sqlite3.OperationalError("it is written all the time, and may not be read along")

    def stands(self) -> bool:
        """Whether what was read since the reading began is of one committed state."""
        return self._mark is None or _mark(self._path) == self._mark

    def _renew(self) -> None:
        """Opens anew what has moved on, or was replaced by another file (`check --salvage`, a copy put back)."""
        if self._closed or self._connection.in_transaction:
            return
        if not self.stands() or _inode(self._path) not in (self._inode, None):
            self._connection.close()
            self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        for round in range(_ROUNDS):
            self._inode = _inode(self._path) or 0
            try:
                connection = connect_reader(self._path)
                self._mark = None
                return connection
            except sqlite3.OperationalError as error:
                code = error.sqlite_errorcode
                # On a full disk the side files cannot be made either.
                denied = code & 0xFF in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN) or lacks_room(code)
                if not denied or not self._path.exists():
                    raise
            mark = _mark(self._path)
            if _is_young(
                mark
            ):  # a further change in the same tick of the file system's clock could not be seen
                time.sleep(_TICK)
                continue
            try:
                connection = (
                    _copy_in_memory(self._path) if _has_content(mark[1]) else probe(self._path, "immutable=1")
                )
            except (sqlite3.Error, OSError):
                if _mark(self._path) == mark or round == _ROUNDS - 1:
                    raise
                continue  # a writer came or went meanwhile
            if _mark(self._path) == mark:
                self._mark = mark
                return connection
            connection.close()
        raise sqlite3.OperationalError("it is written all the time, and may not be read along")


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _mark(path: Path) -> _Mark:
    found: list[tuple[int, int, int] | None] = []
    for file in (path, Path(f"{path}-wal")):
        try:
            status = file.stat()
        except FileNotFoundError:
            found.append(None)
        else:
            found.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)


def _is_young(mark: _Mark) -> bool:
    now = time.time()
    return any(file is not None and 0 <= now - file[2] / 1e9 < _TICK for file in mark)


def _has_content(wal: tuple[int, int, int] | None) -> bool:
    return wal is not None and wal[1] > 0


def _copy_in_memory(path: Path) -> sqlite3.Connection:
    with tempfile.TemporaryDirectory(prefix="sightbook-") as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        shutil.copyfile(f"{path}-wal", f"{copy}-wal")
        memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        try:
            with closing(sqlite3.connect(address(copy, "mode=rw"), uri=True)) as on_disk:
                on_disk.backup(memory)
        except BaseException:
            memory.close()
            raise
    return memory

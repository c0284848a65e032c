"""Writing pictures: a batch that was encoded, what a scan found, what another source takes over, what is removed.

Each is one transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sightbook.catalogue import failures as failing
from sightbook.catalogue import meta
from sightbook.catalogue.database import transaction
from sightbook.catalogue.rows import (
    GOOD,
    MISSING,
    OF_A_PICTURE,
    UNREADABLE,
    FailureRow,
    Moved,
    PictureRow,
    to_column,
)
from sightbook.images.pixels.about import About

if TYPE_CHECKING:
    from sightbook.catalogue.catalogue import Catalogue

_READ = ("size", "mtime_ns", "digest", *About._fields, "code")
_PUT = (
    f"INSERT INTO pictures (source, path, {', '.join(_READ)}) VALUES (?, ?{', ?' * len(_READ)}) "
    f"ON CONFLICT (source, path) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _READ)}, "
    f"state = {GOOD}"
)


def put(
    catalogue: Catalogue,
    pictures: Sequence[PictureRow],
    failures: Sequence[FailureRow] = (),
    gone: Sequence[tuple[str, str]] = (),
) -> None:
    """One batch: pictures new or changed (a known key keeps its id), failures, and keys whose file vanished.

    A picture that was good and fails now leaves the searches but keeps its id and what was known of it. Each picture
    has its fine code where the library keeps them, and none where it does not.
    """
    connection = catalogue.connection
    with transaction(connection):
        width = catalogue.fine or 0
        assert all(len(row.fine) == width for row in pictures), "a fine code is missing, or one too many"
        connection.executemany(
            _PUT, [(row.source, to_column(row.path), *row[2:5], *row.about, row.code) for row in pictures]
        )
        if width:
            connection.executemany(
                "INSERT OR REPLACE INTO fine (id, code) SELECT id, ? FROM pictures WHERE source = ? AND path = ?",
                [(row.fine, row.source, to_column(row.path)) for row in pictures],
            )
        failing.forget(catalogue, ((row.source, row.path) for row in pictures))
        failing.put(catalogue, failures)
        for state, keys in ((UNREADABLE, [row[:2] for row in failures]), (MISSING, gone)):
            connection.executemany(
                f"UPDATE pictures SET state = {state} WHERE source = ? AND path = ?",
                [(source, to_column(path)) for source, path in keys],
            )
        meta.advance(catalogue)


def settle(
    catalogue: Catalogue,
    source: str,
    *,
    back: Iterable[int] = (),
    missing: Iterable[int] = (),
    moved: Iterable[Moved] = (),
    forget: Iterable[str] = (),
    now: float,
) -> None:
    """Records a scan: ids that are good again, ids whose file is gone, ids that have a new path in this source,
    failures to forget; then the time."""
    connection = catalogue.connection
    good, lost = [(id,) for id in back], [(id,) for id in missing]
    paths = [(source, to_column(row.path), row.mtime_ns, row.id) for row in moved]
    with transaction(connection):
        connection.executemany(
            f"UPDATE pictures SET source = ?, path = ?, mtime_ns = ?, state = {GOOD} WHERE id = ?", paths
        )
        connection.executemany(f"UPDATE pictures SET state = {GOOD} WHERE id = ?", good)
        connection.executemany(f"UPDATE pictures SET state = {MISSING} WHERE id = ?", lost)
        failing.forget(catalogue, ((source, path) for path in forget))
        connection.execute("UPDATE sources SET scanned = ? WHERE id = ?", (now, source))
        if good or lost or paths:
            meta.advance(catalogue)


def take_over(
    catalogue: Catalogue,
    source: str,
    former: str,
    *,
    rekeyed: Sequence[tuple[int, str]],
    doubles: Sequence[int],
    failures: Sequence[tuple[str, str]],
) -> None:
    """Makes pictures (id, new path) and failures (old path, new path) of the source `former` those of `source`; ids
    that are doubles go. The former source goes when nothing is left of it."""
    connection = catalogue.connection
    gone = [(id,) for id in doubles]
    with transaction(connection):
        _drop(connection, "id = ?", gone)
        connection.executemany(
            "UPDATE pictures SET source = ?, path = ? WHERE id = ?",
            [(source, to_column(path), id) for id, path in rekeyed],
        )
        failing.rekey(catalogue, source, former, failures)
        connection.execute(
            "DELETE FROM sources WHERE id = :id AND NOT EXISTS (SELECT 1 FROM pictures WHERE source = :id) "
            "AND NOT EXISTS (SELECT 1 FROM failures WHERE source = :id)",
            {"id": former},
        )
        meta.advance(catalogue)


def remove(
    catalogue: Catalogue,
    ids: Iterable[int],
    failures: Iterable[tuple[str, str]] = (),
    sources: Iterable[str] = (),
) -> int:
    """Deletes pictures, failure rows, whole sources; returns how many pictures went. Their ids never come back."""
    connection = catalogue.connection
    numbers, whole = [(id,) for id in ids], [(source,) for source in sources]
    with transaction(connection):
        removed = _drop(connection, "id = ?", numbers) + _drop(connection, "source = ?", whole)
        failing.forget(catalogue, failures)
        connection.executemany("DELETE FROM failures WHERE source = ?", whole)
        connection.executemany("DELETE FROM sources WHERE id = ?", whole)
        meta.advance(catalogue)
    return removed


def _drop(connection: sqlite3.Connection, where: str, values: Sequence[tuple[int | str]]) -> int:
    """Deletes pictures and what goes with them; how many pictures. Inside the caller's transaction."""
    for table, column in OF_A_PICTURE:
        connection.executemany(
            f"DELETE FROM {table} WHERE {column} IN (SELECT id FROM pictures WHERE {where})", values
        )
    # It is -1 when nothing was asked for.
    return max(0, connection.executemany(f"DELETE FROM pictures WHERE {where}", values).rowcount)

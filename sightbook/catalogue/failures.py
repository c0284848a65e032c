"""The table `failures`: pictures that could not be read, as they were then."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sightbook.catalogue.rows import FailureRow, from_column, to_column
from sightbook.catalogue.steady import steady

if TYPE_CHECKING:
    from sightbook.catalogue.catalogue import Catalogue


@steady
def failures(catalogue: Catalogue) -> list[FailureRow]:
    """All failures, by source and path."""
    rows = catalogue.connection.execute(
        "SELECT source, path, size, mtime_ns, reason, failed FROM failures ORDER BY source, path"
    )
    return [FailureRow(row[0], from_column(row[1]), *row[2:]) for row in rows]


def put(catalogue: Catalogue, rows: Iterable[FailureRow]) -> None:
    """Notes failures; inside the caller's transaction."""
    catalogue.connection.executemany(
        "INSERT OR REPLACE INTO failures (source, path, size, mtime_ns, reason, failed) VALUES (?, ?, ?, ?, ?, ?)",
        [(row.source, to_column(row.path), *row[2:]) for row in rows],
    )


def rekey(catalogue: Catalogue, source: str, former: str, paths: Iterable[tuple[str, str]]) -> None:
    """Makes failures (old path, new path) of the source `former` those of `source`; inside the caller's transaction."""
    paths = list(paths)
    catalogue.connection.executemany(
        "INSERT OR REPLACE INTO failures (source, path, size, mtime_ns, reason, failed) "
        "SELECT ?, ?, size, mtime_ns, reason, failed FROM failures WHERE source = ? AND path = ?",
        [(source, to_column(new), former, to_column(old)) for old, new in paths],
    )
    forget(catalogue, ((former, old) for old, _ in paths))


def forget(catalogue: Catalogue, keys: Iterable[tuple[str, str]]) -> None:
    """Drops failures by key; inside the caller's transaction."""
    catalogue.connection.executemany(
        "DELETE FROM failures WHERE source = ? AND path = ?",
        [(source, to_column(path)) for source, path in keys],
    )

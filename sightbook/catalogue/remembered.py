"""What a library remembers of each source beside its pictures: excludes, and what was left out of the last scan.

These tables came later. They stand beside the others, so that an older program goes on with the catalogue as it did
(without excludes), and a catalogue that lacks them gets them with its next `add`; `additions` in `meta` counts such
steps.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from sightbook.catalogue.catalogue import Catalogue
from sightbook.catalogue.database import transaction
from sightbook.catalogue.rows import SourceRow, from_column
from sightbook.images.left_out import Group, LeftOut
from sightbook.images.ours import DRAWN
from sightbook.images.stored import locate

if TYPE_CHECKING:
    from sightbook.images.sources import Source

_STEPS = (
    """
    CREATE TABLE IF NOT EXISTS excludes (
        source TEXT PRIMARY KEY REFERENCES sources (id) ON DELETE CASCADE, globs TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS left_out (
        source TEXT NOT NULL REFERENCES sources (id) ON DELETE CASCADE,
        reason TEXT NOT NULL, what TEXT NOT NULL, count INTEGER NOT NULL, names TEXT NOT NULL,
        PRIMARY KEY (source, reason, what)
    ) WITHOUT ROWID;
    INSERT OR REPLACE INTO meta (key, value) VALUES ('additions', 1)
    """,
)


def excludes(catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
    """The globs of each source that has some."""
    rows = _rows(catalogue, "SELECT source, globs FROM excludes")
    return {str(source): tuple(json.loads(str(globs))) for source, globs in rows}


def left_out(catalogue: Catalogue) -> dict[str, list[Group]]:
    """What was left out of each source when it was last gone through."""
    found: dict[str, list[Group]] = {}
    rows = _rows(catalogue, "SELECT source, reason, what, count, names FROM left_out")
    for source, reason, what, count, names in rows:
        group = Group.of({"reason": reason, "what": what, "count": count, "names": json.loads(str(names))})
        found.setdefault(str(source), []).append(group)
    return found


def drawn(catalogue: Catalogue, source: str) -> set[str]:
    """The paths that are known to be sheets or plots of ours: noted as failures, so that none is read twice."""
    rows = catalogue.connection.execute(
        "SELECT path FROM failures WHERE source = ? AND reason = ?", (source, DRAWN)
    )
    return {from_column(path) for (path,) in rows}


def with_drawn(source: Source | SourceRow, groups: Iterable[Group], paths: Iterable[str]) -> list[Group]:
    """The groups of a source, and its sheets and plots of ours."""
    found = LeftOut(groups)
    for path in sorted(paths):
        found.add("ours", "sheet or plot of sightbook", locate(source.kind, str(source.root), path))
    return found.groups


def remember(catalogue: Catalogue, source: str, globs: Sequence[str], groups: Iterable[Group] | None) -> None:
    """Notes what a scan of a source left out, and by which globs. groups: None where it saw a part of the source."""
    connection = catalogue.connection
    with transaction(connection):
        for step in _STEPS[_taken(connection) :]:
            for statement in step.split(";"):
                connection.execute(statement)
        connection.execute("DELETE FROM excludes WHERE source = ?", (source,))
        if globs:
            connection.execute(
                "INSERT INTO excludes (source, globs) VALUES (?, ?)", (source, json.dumps(list(globs)))
            )
        if groups is None:
            return
        connection.execute("DELETE FROM left_out WHERE source = ?", (source,))
        connection.executemany(
            "INSERT INTO left_out (source, reason, what, count, names) "
            "VALUES (:source, :reason, :what, :count, :names)",
            [{**asdict(group), "source": source, "names": json.dumps(group.names)} for group in groups],
        )


def _taken(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT value FROM meta WHERE key = 'additions'").fetchone()
    return 0 if row is None else int(row[0])


def _rows(catalogue: Catalogue, statement: str) -> list[tuple[object, ...]]:
    """The rows; none of a catalogue that has not got the tables yet."""
    if not _taken(catalogue.connection):
        return []
    return catalogue.connection.execute(statement).fetchall()

"""The tables, as numbered steps: step n makes a catalogue of version n of one of version n - 1.

A new catalogue takes all steps; an older one those it lacks, each in a transaction of its own, when it is next opened
for writing: whatever stops a step leaves the version before. A reader takes an older one as it is. A new table or
column is a new step at the end of `STEPS`; steps that were released stay as they are.

Versions 1 and 2 were written side by side, 2 where fine codes are kept, and programs that wrote them may have taken
the third step as far as its tables go; so a step finds some of its tables there already.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from sightbook.catalogue.database import transaction
from sightbook.errors import LibraryError


def _lay_out(connection: sqlite3.Connection) -> None:
    """1: sources, pictures, failures; facts about the whole."""
    for statement in (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID",
        """CREATE TABLE sources (
            id TEXT PRIMARY KEY, kind TEXT NOT NULL, root TEXT NOT NULL UNIQUE, added REAL NOT NULL, scanned REAL
        )""",
        """CREATE TABLE pictures (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            source TEXT NOT NULL REFERENCES sources (id),
            path TEXT NOT NULL,
            size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, digest BLOB NOT NULL,
            width INTEGER NOT NULL, height INTEGER NOT NULL,
            code BLOB NOT NULL, state INTEGER NOT NULL DEFAULT 0,
            UNIQUE (source, path)
        )""",
        """CREATE TABLE failures (
            source TEXT NOT NULL REFERENCES sources (id),
            path TEXT NOT NULL,
            size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, reason TEXT NOT NULL, failed REAL NOT NULL,
            PRIMARY KEY (source, path)
        ) WITHOUT ROWID""",
    ):
        connection.execute(statement)


def add_fine(connection: sqlite3.Connection) -> None:
    """2: fine codes, none where none are kept."""
    connection.execute("CREATE TABLE IF NOT EXISTS fine (id INTEGER PRIMARY KEY, code BLOB NOT NULL)")


def _add_left_out(connection: sqlite3.Connection) -> None:
    """3: what a source excludes, and what was left out of it."""
    connection.execute(
        """CREATE TABLE IF NOT EXISTS excludes (
            source TEXT PRIMARY KEY REFERENCES sources (id) ON DELETE CASCADE, globs TEXT NOT NULL
        ) WITHOUT ROWID"""
    )
    connection.execute(
        """CREATE TABLE IF NOT EXISTS left_out (
            source TEXT NOT NULL REFERENCES sources (id) ON DELETE CASCADE,
            reason TEXT NOT NULL, what TEXT NOT NULL, count INTEGER NOT NULL, names TEXT NOT NULL,
            PRIMARY KEY (source, reason, what)
        ) WITHOUT ROWID"""
    )
    connection.execute("DELETE FROM meta WHERE key = 'additions'")


def _add_about(connection: sqlite3.Connection) -> None:
    """4: what a picture tells about itself; what users say of it; more descriptions of it; missing pictures by their
    content."""
    columns = (
        "format TEXT",
        "taken TEXT",
        "camera TEXT",
        "orientation INTEGER",
        "latitude REAL",
        "longitude REAL",
    )
    tables = "SELECT name FROM sqlite_master WHERE name IN ('pictures', 'migration')"
    for (table,) in connection.execute(tables).fetchall():
        for column in columns:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
    connection.execute(
        """CREATE TABLE metadata (
            picture INTEGER NOT NULL,
            key TEXT NOT NULL, value NOT NULL,
            PRIMARY KEY (picture, key)
        ) WITHOUT ROWID"""
    )
    connection.execute(
        """CREATE TABLE descriptions (
            picture INTEGER NOT NULL,
            name TEXT NOT NULL, codes BLOB NOT NULL,
            PRIMARY KEY (picture, name)
        ) WITHOUT ROWID"""
    )
    connection.execute("CREATE INDEX missing_by_content ON pictures (digest) WHERE state = 1")


STEPS: tuple[Callable[[sqlite3.Connection], None], ...] = (_lay_out, add_fine, _add_left_out, _add_about)
FORMAT = len(STEPS)
WITH_ABOUT = 4  # from here on


def version_of(connection: sqlite3.Connection) -> int:
    """The version of a catalogue's tables; 0: there are none."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def step(connection: sqlite3.Connection) -> None:
    """Makes the next version of a catalogue; inside the caller's transaction."""
    version = version_of(connection)
    STEPS[version](connection)
    connection.execute(f"PRAGMA user_version = {version + 1}")


def bring_up(connection: sqlite3.Connection, library: Path) -> None:
    """Takes all steps that a catalogue lacks. LibraryError for one of a newer program; one without tables is left."""
    version = version_of(connection)
    refuse_newer(version, library)
    for _ in range(version, FORMAT if version else 0):
        with transaction(connection):
            step(connection)


def refuse_newer(version: int, library: Path) -> None:
    """LibraryError for a version that only a newer program knows."""
    if version > FORMAT:
        raise LibraryError(
            f"the catalogue of {library} has format {version}, this program reads up to {FORMAT}: update sightbook "
            "(pip install -U sightbook)"
        )

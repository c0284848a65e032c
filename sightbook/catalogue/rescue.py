"""What SQLite still gives of a damaged catalogue, copied into a new one: table by table, row by row where a whole range
fails. Ids are kept."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sightbook.catalogue import remembered
from sightbook.catalogue.database import address, transaction
from sightbook.catalogue.rows import OF_A_PICTURE
from sightbook.catalogue.soundness import impossible

if TYPE_CHECKING:
    from sightbook.catalogue.catalogue import Catalogue

_WHOLE = ("sources", "pictures", "failures", "metadata", "descriptions")
_ROOM = 1 << 24  # ids left free when nobody knows how many were given


def rescue(damaged: Path, target: Catalogue, code_bytes: int) -> dict[str, int]:
    """How many rows of each table were saved. A picture that has what none can have (`soundness`) is lost."""
    connection = sqlite3.connect(address(damaged, "mode=ro"), uri=True, isolation_level=None)
    connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    try:
        tables = [*_WHOLE, *(("fine",) if target.fine else ())]
        counts = {table: _copy(connection, target, table) for table in tables}
        for condition in impossible(code_bytes).values():
            target.connection.execute(f"DELETE FROM pictures WHERE {condition}")
        for table in ("pictures", "failures"):
            target.connection.execute(f"DELETE FROM {table} WHERE source NOT IN (SELECT id FROM sources)")
        for table, picture in OF_A_PICTURE:
            target.connection.execute(f"DELETE FROM {table} WHERE {picture} NOT IN (SELECT id FROM pictures)")
        with contextlib.suppress(sqlite3.Error, ValueError):  # an older one has none
            known = {row.id for row in target.sources()}
            for source, globs in connection.execute("SELECT source, globs FROM excludes"):
                if source in known:
                    remembered.remember(target, source, json.loads(globs), [])
        # Where these are damaged, too, they are told anew.
        with contextlib.suppress(sqlite3.Error, ValueError, TypeError, AttributeError):
            _copy_facts(connection, target, {row.id for row in target.sources()})
        target.mend_fine()
        held, highest = target.connection.execute(
            "SELECT count(*), coalesce(max(id), 0) FROM pictures"
        ).fetchone()
        counts["pictures"] = held
        _leave_ids(target, highest, _given(connection))
    finally:
        connection.close()
    return counts


def _copy(connection: sqlite3.Connection, target: Catalogue, table: str) -> int:
    columns = _columns(target.connection, table)
    with contextlib.suppress(sqlite3.Error):  # an older one has fewer
        columns = _columns(connection, table) or columns
    into = f"{table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    kept = 0
    target.connection.execute("PRAGMA foreign_keys = OFF")
    with transaction(target.connection):
        for row in _readable(connection, table, columns):
            with contextlib.suppress(sqlite3.Error, UnicodeError):
                target.connection.execute(f"INSERT OR IGNORE INTO {into}", row)
                kept += 1
    return kept


def _copy_facts(connection: sqlite3.Connection, target: Catalogue, sources: set[str]) -> None:
    """What `meta` says of sources that were saved (who read them, by which version) and of models."""
    rows = connection.execute("SELECT key, value FROM meta").fetchall()
    told = [
        (key, value)
        for key, value in rows
        if key.startswith("model ")
        or key.removeprefix("reader ") in sources
        or (key.removeprefix("decoding ") in sources and int(value) > 0)
    ]
    with transaction(target.connection):
        target.connection.executemany("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", told)


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


def _leave_ids(target: Catalogue, highest: int, given: int | None) -> None:
    """Ids that were given and are lost must not be given again: where the counter is lost, too, room is left."""
    with transaction(target.connection):
        target.connection.execute("DELETE FROM sqlite_sequence WHERE name = 'pictures'")
        target.connection.execute(
            "INSERT INTO sqlite_sequence (name, seq) VALUES ('pictures', ?)",
            (highest + _ROOM if given is None else max(given, highest),),
        )


def _readable(connection: sqlite3.Connection, table: str, columns: list[str]) -> Iterator[tuple[object, ...]]:
    """The rows of a table that SQLite can still give, whatever lies between them."""
    names = ", ".join(columns)
    if table not in ("pictures", "fine"):
        with contextlib.suppress(sqlite3.Error):
            yield from connection.execute(f"SELECT {names} FROM {table}")
        return
    last, step = 0, 1
    highest = _given(connection) or _ROOM
    while last < highest:
        try:
            rows = connection.execute(
                f"SELECT {names} FROM {table} WHERE id > ? ORDER BY id LIMIT 256", (last,)
            ).fetchall()
            if not rows:
                return
            yield from rows
            last, step = rows[-1][0], 1
        except sqlite3.Error:
            row = None
            with contextlib.suppress(sqlite3.Error):
                row = connection.execute(f"SELECT {names} FROM {table} WHERE id = ?", (last + 1,)).fetchone()
            if row is not None:
                yield row
                step = 1
            last += step
            step = min(2 * step, 64)  # a damaged page takes many rows with it


def _given(connection: sqlite3.Connection) -> int | None:
    """The highest id that was ever given; None where that cannot be read."""
    try:
        rows = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'pictures'")
        return int(rows.fetchone()[0])
    except (sqlite3.Error, TypeError, ValueError):
        return None

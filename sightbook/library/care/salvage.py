"""What can be read of a damaged catalogue, saved into a new one.

Data flow: damaged catalogue → what SQLite still gives of each table, row by row where a range fails → a new catalogue
with the same ids → swapped in, the damaged one kept beside it. Pictures that were lost come back with the next `add`.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from sightbook.catalogue import remembered
from sightbook.catalogue.catalogue import NAME, Catalogue
from sightbook.catalogue.database import address, explained
from sightbook.catalogue.folder import Facts
from sightbook.catalogue.lock import writer_lock
from sightbook.errors import LibraryError
from sightbook.library.care.check import model_of

_ROOM = 1 << 24  # ids left free when nobody knows how many were given


def salvage(path: Path) -> tuple[int, int]:
    """Saves what can be read of a damaged catalogue into a new one: (pictures, failures) saved.

    The damaged one stays beside it as catalogue.damaged-TIME.sqlite. Ids and codes are kept; pictures that were lost
    come back with the next `add`, as do those whose fine code was. LibraryError when nothing can be read, or the model
    is broken, too.
    """
    with explained(path), writer_lock(path):
        facts, said = model_of(path)
        if facts is None:
            broken = next(finding.text for finding in said if finding.verdict == "broken")
            raise LibraryError(f"{path} cannot be salvaged: {broken}")
        fresh = path / f".{NAME}.salvaged"
        _remove(fresh)
        target = Catalogue.create(fresh, facts.fingerprint, facts.fine)
        try:
            counts = _copied(path / NAME, target, facts)
            target.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            target.close()
        if not counts["sources"]:
            _remove(fresh)
            raise LibraryError(
                f"nothing can be read of {path / NAME}: restore it from a copy, or build a new library from the sources"
            )
        aside = path / f"catalogue.damaged-{time.strftime('%Y%m%d-%H%M%S')}.sqlite"
        # The damaged one is whole beside its place before that is touched, and the library never without a catalogue. A
        # write-ahead log would be played into whatever database stands beside it, so it goes before the new one comes.
        wal = Path(f"{path / NAME}-wal")
        shutil.copyfile(path / NAME, aside)
        if wal.exists():
            shutil.copyfile(wal, f"{aside}-wal")
        for suffix in ("-wal", "-shm"):
            Path(f"{path / NAME}{suffix}").unlink(missing_ok=True)
        fresh.replace(path / NAME)
        _remove(fresh)
        return counts["pictures"], counts["failures"]


def _remove(database: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)


def _copied(damaged: Path, target: Catalogue, facts: Facts) -> dict[str, int]:
    """Copies what can be read of each table, row by row where a whole range cannot."""
    counts = {}
    widths = {"pictures": facts.code_bytes, "fine": facts.fine_bytes}
    connection = sqlite3.connect(address(damaged, "mode=ro"), uri=True, isolation_level=None)
    connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    try:
        for table in ("sources", "pictures", "failures", *(("fine",) if facts.fine else ())):
            columns = [row[1] for row in target.connection.execute(f"PRAGMA table_info({table})")]
            kept = 0
            target.connection.execute("PRAGMA foreign_keys = OFF")
            target.connection.execute("BEGIN IMMEDIATE")
            for row in _readable(connection, table, columns):
                values = dict(zip(columns, row, strict=True))
                code, width = values.get("code"), widths.get(table)
                if width is not None and not (isinstance(code, bytes) and len(code) == width):
                    continue
                with contextlib.suppress(sqlite3.Error, UnicodeError):
                    marks = ",".join("?" * len(columns))
                    target.connection.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)
                    kept += 1
            target.connection.execute("COMMIT")
            counts[table] = kept
        target.connection.execute("DELETE FROM pictures WHERE source NOT IN (SELECT id FROM sources)")
        target.connection.execute("DELETE FROM failures WHERE source NOT IN (SELECT id FROM sources)")
        with contextlib.suppress(sqlite3.Error, ValueError):  # an older one has none
            known = {row.id for row in target.sources()}
            for source, globs in connection.execute("SELECT source, globs FROM excludes"):
                if source in known:
                    remembered.remember(target, source, json.loads(globs), [])
        target.mend_fine()
        counts["pictures"] = target.connection.execute("SELECT count(*) FROM pictures").fetchone()[0]
        # Ids that were given and are lost must not be given again: where the counter is lost, too, room is left.
        highest = target.connection.execute("SELECT coalesce(max(id), 0) FROM pictures").fetchone()[0]
        given = _given(connection)
        target.connection.execute("DELETE FROM sqlite_sequence WHERE name = 'pictures'")
        target.connection.execute(
            "INSERT INTO sqlite_sequence (name, seq) VALUES ('pictures', ?)",
            (highest + _ROOM if given is None else max(given, highest),),
        )
    finally:
        connection.close()
    return counts


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
        return int(
            connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'pictures'").fetchone()[0]
        )
    except (sqlite3.Error, TypeError, ValueError):
        return None

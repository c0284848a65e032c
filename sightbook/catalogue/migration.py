"""The table `migration`: codes of another model, gathered beside those in use until one transaction swaps them in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sightbook.catalogue import failures as failing
from sightbook.catalogue import meta
from sightbook.catalogue.database import transaction
from sightbook.catalogue.fine import keep_fine
from sightbook.catalogue.rows import GOOD, MISSING, UNREADABLE, FailureRow
from sightbook.images.pixels.about import About

if TYPE_CHECKING:
    from sightbook.catalogue.catalogue import Catalogue

# `fine` stands in it only where fine codes come.
_TABLE = """CREATE TABLE IF NOT EXISTS migration (
    id INTEGER PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, digest BLOB NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, code BLOB NOT NULL, format TEXT, taken TEXT, camera TEXT,
    orientation INTEGER, latitude REAL, longitude REAL{fine}
)"""

_READ = ("size", "mtime_ns", "digest", *About._fields, "code")


class NewCode(NamedTuple):
    """A picture as it was read for the new model; `fine` is empty where no fine codes come."""

    id: int
    size: int
    mtime_ns: int
    digest: bytes
    about: About
    code: bytes
    fine: bytes = b""


def begin(catalogue: Catalogue, fingerprint: str, fine: bool) -> None:
    """Starts gathering codes of the model of that fingerprint, or goes on with what was gathered; codes of another one,
    or without the fine codes that are wanted, are dropped."""
    connection = catalogue.connection
    table = _TABLE.format(fine=", fine BLOB NOT NULL" if fine else "")
    with transaction(connection):
        connection.execute(table)
        columns = {row[1] for row in connection.execute("PRAGMA table_info(migration)")}
        if meta.get(catalogue, "migration") != fingerprint or ("fine" in columns) != fine:
            connection.execute("DROP TABLE migration")
            connection.execute(table)
            meta.put(catalogue, "migration", fingerprint)


def is_begun(catalogue: Catalogue) -> bool:
    """Whether codes of another model are being gathered."""
    return meta.get(catalogue, "migration") is not None


def gathered(catalogue: Catalogue) -> dict[int, tuple[int, int]]:
    """The ids that have their new code, each with the size and time of the picture that it was made of."""
    rows = catalogue.connection.execute("SELECT id, size, mtime_ns FROM migration")
    return {id: (size, mtime_ns) for id, size, mtime_ns in rows}


def drop(catalogue: Catalogue, ids: Iterable[int]) -> None:
    """Forgets new codes of what has changed, or went, since they were made."""
    with transaction(catalogue.connection):
        catalogue.connection.executemany("DELETE FROM migration WHERE id = ?", [(id,) for id in ids])


def progress(catalogue: Catalogue) -> tuple[int, int]:
    """How many pictures have their new code, of how many."""
    rows = catalogue.connection.execute(
        "SELECT (SELECT count(*) FROM migration), (SELECT count(*) FROM pictures)"
    )
    done, known = rows.fetchone()
    return int(done), int(known)


def gather(catalogue: Catalogue, codes: Sequence[NewCode], failures: Sequence[FailureRow]) -> None:
    """One batch of new codes, and of pictures that could not be read."""
    with transaction(catalogue.connection):
        fine = any(row.fine for row in codes)
        names = ("id", *_READ, "fine") if fine else ("id", *_READ)
        catalogue.connection.executemany(
            f"INSERT OR REPLACE INTO migration ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
            [(*row[:4], *row.about, *row[5 : 6 + fine]) for row in codes],
        )
        failing.put(catalogue, failures)


def swap(
    catalogue: Catalogue, fingerprint: str, code_bytes: int, fine: int | None, decoding: int
) -> tuple[int, int, int]:
    """One transaction: after it every search finds the codes of the model of that fingerprint, as this `decoding` read
    the pictures. How many pictures have one, are missing, and were unreadable."""
    connection = catalogue.connection
    sources = catalogue.sources()
    with transaction(connection):
        for source in sources:
            meta.put(catalogue, f"decoding {source.id}", decoding)
        connection.execute(
            f"UPDATE pictures SET {', '.join(f'{name} = m.{name}' for name in _READ)}, "
            f"state = CASE WHEN state = {MISSING} THEN {MISSING} ELSE {GOOD} END "
            "FROM migration m WHERE m.id = pictures.id"
        )
        # What failed before the migration was stopped may have been read after that.
        connection.execute(
            "DELETE FROM failures WHERE EXISTS (SELECT 1 FROM migration m JOIN pictures p ON p.id = m.id "
            "WHERE p.source = failures.source AND p.path = failures.path)"
        )
        # One that was missing stays so until an `add` sees it; one without a new code must be read before it is found
        # again: no size or time fits it.
        failed = (
            "EXISTS (SELECT 1 FROM failures f WHERE f.source = pictures.source AND f.path = pictures.path)"
        )
        connection.execute(
            f"UPDATE pictures SET code = zeroblob({code_bytes}), size = -1, mtime_ns = -1, "
            f"state = CASE WHEN {failed} THEN {UNREADABLE} ELSE {MISSING} END "
            "WHERE id NOT IN (SELECT id FROM migration)"
        )
        keep_fine(catalogue, fine)
        if fine:
            connection.execute(
                "INSERT INTO fine (id, code) SELECT id, fine FROM migration WHERE id IN (SELECT id FROM pictures)"
            )
        encoded, _ = progress(catalogue)
        states = _states(catalogue)
        connection.execute("DROP TABLE migration")
        meta.forget(catalogue, "migration")
        meta.put(catalogue, "fingerprint", fingerprint)
        meta.advance(catalogue)
    return encoded, states.get(MISSING, 0), states.get(UNREADABLE, 0)


def call_off(catalogue: Catalogue) -> tuple[int, int, int]:
    """Forgets what was gathered, and what could not be read meanwhile: the codes in use stay. How many pictures have
    one, are missing, are unreadable."""
    with transaction(catalogue.connection):
        catalogue.connection.execute("DROP TABLE IF EXISTS migration")
        catalogue.connection.execute(
            "DELETE FROM failures WHERE EXISTS (SELECT 1 FROM pictures p WHERE p.source = failures.source "
            f"AND p.path = failures.path AND p.state = {GOOD})"
        )
        meta.forget(catalogue, "migration")
    states = _states(catalogue)
    return states.get(GOOD, 0), states.get(MISSING, 0), states.get(UNREADABLE, 0)


def _states(catalogue: Catalogue) -> dict[int, int]:
    """How many pictures are in each state."""
    return dict(
        catalogue.connection.execute("SELECT state, count(*) FROM pictures GROUP BY state").fetchall()
    )

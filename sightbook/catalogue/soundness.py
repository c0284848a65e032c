"""Whether a catalogue is whole: SQLite's own check, and what SQLite cannot know of the rows; and rewriting it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sightbook.catalogue.rows import GOOD, MISSING, UNREADABLE
from sightbook.catalogue.steady import steady

if TYPE_CHECKING:
    from sightbook.catalogue.catalogue import Catalogue


@steady
def faults(catalogue: Catalogue) -> list[str]:
    """What SQLite finds wrong with the file; nothing when it is whole."""
    found = [row[0] for row in catalogue.connection.execute("PRAGMA integrity_check(20)")]
    if found != ["ok"]:
        return found
    return [
        f"a row of {row[0]} has no source" for row in catalogue.connection.execute("PRAGMA foreign_key_check")
    ]


def impossible(code_bytes: int) -> dict[str, str]:
    """What no picture can have, and the SQL of it."""
    return {
        "codes of another length": f"typeof(code) != 'blob' OR length(code) != {code_bytes}",
        "an unknown state": f"state NOT IN ({GOOD}, {MISSING}, {UNREADABLE})",
        "a digest of another length": "typeof(digest) != 'blob' OR length(digest) != 16",
    }


def impossible_rows(catalogue: Catalogue, code_bytes: int) -> Iterator[tuple[int, str]]:
    """How many pictures have what no picture can have, and what that is."""
    for what, condition in impossible(code_bytes).items():
        rows = catalogue.connection.execute(f"SELECT count(*) FROM pictures WHERE {condition}")
        if count := int(rows.fetchone()[0]):
            yield count, what


def rewrite(catalogue: Catalogue) -> None:
    """Gives the space of deleted rows back to the disk."""
    catalogue.connection.execute("VACUUM")
    flush(catalogue)


def flush(catalogue: Catalogue) -> None:
    """Brings everything that was committed into the one file."""
    catalogue.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

"""What a library remembers of each source beside its pictures: excludes, and what was left out of the last scan."""

from __future__ import annotations

import json
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


def excludes(catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
    """The globs of each source that has some."""
    rows = _rows(catalogue, "excludes", "source, globs")
    return {str(source): tuple(json.loads(str(globs))) for source, globs in rows}


def left_out(catalogue: Catalogue) -> dict[str, list[Group]]:
    """What was left out of each source when it was last gone through."""
    found: dict[str, list[Group]] = {}
    rows = _rows(catalogue, "left_out", "source, reason, what, count, names")
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


def _rows(catalogue: Catalogue, table: str, columns: str) -> list[tuple[object, ...]]:
    """The rows; none of an older catalogue, which is only read here and has no such table."""
    there = "SELECT 1 FROM sqlite_master WHERE name = ?"
    if catalogue.connection.execute(there, (table,)).fetchone() is None:
        return []
    return catalogue.connection.execute(f"SELECT {columns} FROM {table}").fetchall()

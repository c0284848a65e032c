"""The table `sources`: where pictures are read from, and how many of each source are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightbook.catalogue.database import transaction
from sightbook.catalogue.rows import Counts, SourceRow, root_from_column, root_to_column
from sightbook.catalogue.steady import steady

if TYPE_CHECKING:
    from sightbook.catalogue.catalogue import Catalogue


@steady
def sources(catalogue: Catalogue) -> list[SourceRow]:
    """All sources in the order they were added."""
    rows = catalogue.connection.execute(
        "SELECT id, kind, root, added, scanned FROM sources ORDER BY added, id"
    )
    return [SourceRow(row[0], row[1], root_from_column(row[2]), row[3], row[4]) for row in rows]


def put_source(catalogue: Catalogue, id: str, kind: str, root: str, now: float) -> None:
    """Adds a source, or gives a known one a new root."""
    with transaction(catalogue.connection):
        catalogue.connection.execute(
            "INSERT INTO sources (id, kind, root, added) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, root = excluded.root",
            (id, kind, root_to_column(root), now),
        )


@steady
def counts(catalogue: Catalogue) -> dict[str, Counts]:
    """Counts by source id; every source has an entry."""
    by_state: dict[str, list[int]] = {row.id: [0, 0, 0, 0] for row in sources(catalogue)}
    for source, state, n in catalogue.connection.execute(
        "SELECT source, state, count(*) FROM pictures GROUP BY source, state"
    ):
        by_state[source][state] = n
    for source, n in catalogue.connection.execute("SELECT source, count(*) FROM failures GROUP BY source"):
        by_state[source][3] = n
    return {source: Counts(*numbers) for source, numbers in by_state.items()}

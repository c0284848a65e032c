"""The table `descriptions`: further codes of a picture, each by a name. They go with the picture."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sightbook.catalogue.database import transaction
from sightbook.catalogue.metadata import refuse_unknown
from sightbook.catalogue.steady import steady
from sightbook.catalogue.versions import WITH_ABOUT

if TYPE_CHECKING:
    from sightbook.catalogue.catalogue import Catalogue


@steady
def descriptions(catalogue: Catalogue, id: int) -> dict[str, bytes]:
    """Packed codes of a picture by name; none in a catalogue of an older version."""
    if catalogue.format < WITH_ABOUT:
        return {}
    rows = catalogue.connection.execute(
        "SELECT name, codes FROM descriptions WHERE picture = ? ORDER BY name", (id,)
    )
    return dict(rows.fetchall())


def put_descriptions(catalogue: Catalogue, rows: Iterable[tuple[int, str, bytes]]) -> None:
    """Keeps codes as (id, name, packed codes), in place of those of that name. LibraryError for an id that is not
    there; then none is kept."""
    with transaction(catalogue.connection):
        for id, name, codes in rows:
            refuse_unknown(catalogue, id)
            catalogue.connection.execute(
                "INSERT OR REPLACE INTO descriptions VALUES (?, ?, ?)", (id, name, codes)
            )


def remove_descriptions(catalogue: Catalogue, name: str) -> int:
    """Drops the codes of that name of all pictures; of how many."""
    with transaction(catalogue.connection):
        gone = catalogue.connection.execute("DELETE FROM descriptions WHERE name = ?", (name,)).rowcount
    return gone

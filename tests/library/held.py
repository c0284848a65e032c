"""What a library holds: by its rows, as anybody reads them, and by its catalogue, opened beside it."""

from __future__ import annotations

from contextlib import closing

from sightbook.catalogue.catalogue import NAME, Catalogue
from sightbook.library.library import Library

_PAGE = 1000


def catalogue_of(library: Library) -> closing[Catalogue]:
    """Its catalogue, opened once more for reading: a context that closes it."""
    return closing(Catalogue.read(library.path / NAME))


def stamp(library: Library) -> str:
    """The committed state."""
    with catalogue_of(library) as catalogue:
        return catalogue.stamp


def by_key(library: Library) -> dict[tuple[str, str], tuple[bytes, bytes]]:
    """Digest and packed code by (source, path)."""
    return {
        (source, path): (digest, code)
        for rows in library.rows(_PAGE)
        for _, source, path, _, digest, code in rows
    }


def held(library: Library) -> dict[str, tuple[bytes, bytes]]:
    """Digest and packed code by path."""
    return {path: both for (_, path), both in by_key(library).items()}


def finely_held(library: Library) -> dict[str, bytes]:
    """Fine codes by path, none where none are kept; no fine code is of a picture that is not there."""
    with catalogue_of(library) as catalogue:
        stray = "SELECT count(*) FROM fine WHERE id NOT IN (SELECT id FROM pictures)"
        assert catalogue.connection.execute(stray).fetchone() == (0,)
    if not library.facts.fine:
        return {}
    return {row[2]: row[6] for rows in library.rows(_PAGE, fine=True) for row in rows}


def ids(library: Library) -> dict[str, int]:
    """Ids by path, also of pictures that are missing now."""
    with catalogue_of(library) as catalogue:
        known = [catalogue.known(source.id) for source in catalogue.sources()]
    return {path: row.id for rows in known for path, row in rows.items() if row.id}

"""What `remove` is asked to take, resolved against the catalogue."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sightbook.errors import LibraryError
from sightbook.library.catalogue import Catalogue

# An id, a key (source, path), or a text that names pictures or a source.
Wanted = str | int | tuple[str, str]
Selected = tuple[set[int], set[tuple[str, str]], set[str]]


def select(catalogue: Catalogue, library: Path, wanted: Iterable[Wanted]) -> Selected:
    """(picture ids, keys of failures, source ids) that `wanted` names; LibraryError for one that names nothing."""
    ids: set[int] = set()
    failed: set[tuple[str, str]] = set()
    sources: set[str] = set()
    for item in wanted:
        found = _find(catalogue, item)
        if not any(found):
            raise LibraryError(
                f"nothing in {library} matches {item!r}: give a path as `sightbook search` shows it, a pattern in "
                "quotes, or a source of `sightbook status`"
            )
        ids |= found[0]
        failed |= found[1]
        sources |= found[2]
    return ids, failed, sources


def _find(catalogue: Catalogue, item: Wanted) -> Selected:
    if isinstance(item, int):
        return set(catalogue.keys([item])), set(), set()
    if isinstance(item, tuple):
        row = catalogue.known(item[0]).get(item[1])
        if row is None:
            return set(), set(), set()
        return set() if row.id is None else {row.id}, {item}, set()
    whole = {
        row.id for row in catalogue.sources() if item == row.id or item.rstrip("/") == row.root.rstrip("/")
    }
    return (set(), set(), whole) if whole else (*catalogue.match(item), set())

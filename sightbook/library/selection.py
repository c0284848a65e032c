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
    asked = list(wanted)
    numbers = {item for item in asked if isinstance(item, int)}
    ids = set(catalogue.keys(sorted(numbers)))
    failed: set[tuple[str, str]] = set()
    sources: set[str] = set()
    for item in asked:
        found = ({item} & ids, set(), set()) if isinstance(item, int) else _find(catalogue, item)
        if not any(found):
            raise LibraryError(
                f"nothing in {library} matches {item!r}: give a path as `sightbook search` shows it, a pattern in "
                "quotes, or a source of `sightbook status`"
            )
        ids |= found[0]
        failed |= found[1]
        sources |= found[2]
    return ids, failed, sources


def _find(catalogue: Catalogue, item: str | tuple[str, str]) -> Selected:
    if isinstance(item, tuple):
        id, has_failed = catalogue.find(*item)
        return set() if id is None else {id}, {item} if has_failed else set(), set()
    whole = {
        row.id for row in catalogue.sources() if item == row.id or item.rstrip("/") == row.root.rstrip("/")
    }
    return (set(), set(), whole) if whole else (*catalogue.match(item), set())

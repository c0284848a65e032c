"""What `remove` is asked to take, resolved against the catalogue."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import numpy as np

from sightbook.errors import ConfigError, LibraryError
from sightbook.library.catalogue import Catalogue
from sightbook.library.ids import id_of, ids_of, is_number

# An id, a key (source, path), or a text that names pictures or a source.
Wanted = str | int | tuple[str, str]
Selected = tuple[set[int], set[tuple[str, str]], set[str]]


def wanted(what: Wanted | Iterable[Wanted]) -> list[Wanted]:
    """One thing or several, as users hand them over; numbers become ids. ConfigError for what names nothing."""
    if isinstance(what, str | os.PathLike) or _is_key(what) or is_number(what):
        what = [what]  # type: ignore[list-item]
    elif isinstance(what, bytes) or not isinstance(what, Iterable):
        raise ConfigError(
            f"{type(what).__name__} names nothing: give ids, keys (source, path), or texts, one or a list of them"
        )
    elif isinstance(what, np.ndarray) and what.dtype.kind in "biufc":
        return [int(id) for id in ids_of(what.reshape(-1), "what is to be removed")]
    return [_wanted(each) for each in what]


def _wanted(each: object) -> Wanted:
    if isinstance(each, os.PathLike):
        return os.fsdecode(each)
    if isinstance(each, str) or _is_key(each):
        return cast("Wanted", each)
    return id_of(each, "what is to be removed")


def _is_key(what: object) -> bool:
    return isinstance(what, tuple) and len(what) == 2 and all(isinstance(part, str) for part in what)


def select(catalogue: Catalogue, library: Path, asked: Sequence[Wanted]) -> Selected:
    """(picture ids, keys of failures, source ids) that `asked` names; LibraryError for one that names nothing."""
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

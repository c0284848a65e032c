"""The sources that an `add` is given, as the library knows them: their ids, and what was excluded before."""

# Plain strings: Path.expanduser raises for a user that is not there.
# ruff: noqa: PTH111

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

from sightbook.catalogue import remembered
from sightbook.catalogue.catalogue import Catalogue
from sightbook.catalogue.rows import SourceRow
from sightbook.errors import LibraryError, typed
from sightbook.images.exclude import below
from sightbook.images.kinds.registry import holds_files
from sightbook.images.names import to_text
from sightbook.images.sources import Sources, open_sources, source_id
from sightbook.ingest.order import Order


def resolve(catalogue: Catalogue, library: Path, order: Order) -> Sources:
    """Opens the sources under the ids they have in this library; a new root gets an id that no other source has.

    What was excluded at earlier times is still, unless the order forgets it. A source that is known may have lost all
    its pictures where all may be pruned. With `moved_from` the one source takes over the id of the source that stood
    there. Raises LibraryError when nothing stood there, or there is more than one source or one that has a place in the
    library of its own.
    """
    rows = catalogue.sources()
    ids = {Path(row.root): row.id for row in rows}
    roots = {row.id: Path(row.root) for row in rows}
    for spec in order.sources:
        # The default id of a place whose former source moved away is taken.
        named = Path(os.path.expanduser(spec)).resolve()
        for place in (named, named.parent):
            if place not in ids and source_id(place) in roots:
                ids[place] = _fresh_id(place, roots)
    known = {Path(row.root).resolve() for row in rows} if order.prune == "all" else set()
    sources = open_sources(order.sources, ids, exclude=order.exclude, may_be_empty=known)
    if order.moved_from is not None:
        _take_over(sources, library, rows, order.moved_from)
    else:
        for source in sources:
            if roots.get(source.id, source.root) != source.root:
                source.id = _fresh_id(source.root, roots)
    _recall(catalogue, sources, order.forget_excludes)
    return sources


def _recall(catalogue: Catalogue, sources: Sources, forget: bool) -> None:
    """Adds the excludes of earlier times, also those of sources that lie within one and become a part of it; what is
    named by itself is meant, whatever was excluded."""
    known = {} if forget else remembered.excludes(catalogue)
    roots = {row.id: Path(row.root) for row in catalogue.sources() if holds_files(row.kind)}
    for source in sources:
        if source.names is not None:
            continue
        inner = [
            placed
            for id, globs in known.items()
            if id != source.id and id in roots and source.root in roots[id].parents
            for glob in globs
            for placed in below(glob, f"{to_text(str(roots[id].relative_to(source.root)))}/")
        ]
        source.exclude = tuple(dict.fromkeys((*known.get(source.id, ()), *inner, *source.exclude)))


def _take_over(sources: Sources, library: Path, rows: Sequence[SourceRow], moved_from: str | Path) -> None:
    old = Path(os.path.realpath(os.path.expanduser(moved_from)))
    stood = [row for row in rows if row.id == str(moved_from) or Path(row.root) in (old, Path(moved_from))]
    if not stood:
        known = ", ".join(row.root for row in rows) or "none"
        raise LibraryError(f"no source of {library} stood at {moved_from}: its sources are {known}")
    if len(sources) != 1 or sources.sources[0].names is not None:
        raise LibraryError(
            f"moved-from {moved_from} needs one whole source, and {len(sources)} or single pictures were given: name "
            "the folder, tar or Parquet file that stood there"
        )
    (source,) = sources
    for row in rows:
        if Path(row.root) == source.root and row.id != stood[0].id:
            raise LibraryError(
                f"{source.root} is in {library} already as a source of its own: remove one of the two first "
                f"(`sightbook remove {typed(library)} {typed(source.root)}`)"
            )
    if source.kind != stood[0].kind:
        raise LibraryError(
            f"{source.root} is a {source.kind} and {stood[0].root} was a {stood[0].kind}: its pictures have other "
            "keys, add it without moved-from"
        )
    source.id = stood[0].id


def _fresh_id(root: Path, taken: Mapping[str, Path]) -> str:
    number = 1
    while True:
        id = blake2b(os.fsencode(root) + b"\0%d" % number, digest_size=6).hexdigest()
        if id not in taken:
            return id
        number += 1

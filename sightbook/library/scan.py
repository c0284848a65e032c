"""What an `add` has to do: the sources as they are now against what the catalogue knows, by sizes and times alone."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from sightbook.errors import LibraryError
from sightbook.images.entry import Entry
from sightbook.images.sources import Source, Sources, open_sources, source_id
from sightbook.library.catalogue import Catalogue
from sightbook.library.schema import GOOD, MISSING, Known, SourceRow
from sightbook.progress import Listener, Meter, Notice


@dataclass
class Plan:
    """One source's share of an `add`.

    todo: entries to read; ids: those that some of their paths have already; back: ids that are good again without
    reading; missing: ids whose file is gone; forget: failures of files that are gone or good again.
    """

    source: Source
    todo: list[Entry] = field(default_factory=list)
    ids: dict[str, int] = field(default_factory=dict)
    back: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    forget: list[str] = field(default_factory=list)
    unchanged: int = 0
    known_failures: int = 0
    still_missing: int = 0


def resolve(
    catalogue: Catalogue,
    library: Path,
    specs: Sequence[str | Path],
    moved_from: str | Path | None,
    listener: Listener,
) -> Sources:
    """Opens the sources under the ids they have in this library; a new root gets an id that no other source has.

    With `moved_from` the one source of `specs` takes over the id of the source that stood there. Raises LibraryError
    when nothing stood there, or `specs` is more than one source or one that has a place in the library of its own.
    """
    rows = catalogue.sources()
    ids = {Path(row.root): row.id for row in rows}
    roots = {row.id: Path(row.root) for row in rows}
    for spec in specs:
        # The default id of a place whose former source moved away is taken.
        for place in (Path(spec).expanduser().resolve(), Path(spec).expanduser().resolve().parent):
            if place not in ids and source_id(place) in roots:
                ids[place] = _fresh_id(place, roots)
    sources = open_sources(specs, ids)
    if moved_from is not None:
        _take_over(sources, library, rows, moved_from)
        return sources
    for source in sources:
        if roots.get(source.id, source.root) != source.root:
            source.id = _fresh_id(source.root, roots)
        if source.id not in roots:
            for row in rows:
                if not is_there(row.root):
                    listener(
                        Notice(
                            f"{row.root} is not there any more; if it is {source.root} now, stop and add that with "
                            f"--moved-from {row.root}, so that its pictures keep their ids"
                        )
                    )
    return sources


def _take_over(sources: Sources, library: Path, rows: Sequence[SourceRow], moved_from: str | Path) -> None:
    old = Path(os.path.realpath(Path(moved_from).expanduser()))
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
                f"(sightbook remove {library} {source.root})"
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


def scan(catalogue: Catalogue, source: Source, *, retry: bool, meter: Meter) -> Plan:
    """Compares one source with the catalogue. A picture counts as unchanged when size and time (ns) are equal.

    retry: read files again that failed before, though unchanged. Pictures that are not found are missing only when the
    whole source was seen: not when single pictures were named or a sub-folder could not be read.
    """
    plan = Plan(source)
    known = catalogue.known(source.id)
    for entry in source.entries():
        meter.advance()
        _compare(plan, entry, known.pop(entry.path, None), retry)
    for problem in source.problems:
        meter.listener(Notice(problem))
    if source.names is None and not source.problems:
        for path, row in known.items():
            if row.failed_size is not None:
                plan.forget.append(path)
            if row.id is not None and row.state != MISSING:
                plan.missing.append(row.id)
            elif row.id is not None:
                plan.still_missing += 1
    return plan


def is_there(root: str | Path) -> bool:
    """Whether a source's root can be reached now; one behind a folder we may not enter cannot."""
    return os.path.exists(root)  # noqa: PTH110  Path.exists raises PermissionError then


def _compare(plan: Plan, entry: Entry, row: Known | None, retry: bool) -> None:
    stat = (entry.size, entry.mtime_ns)
    if row is not None and row.id is not None and (row.size, row.mtime_ns) == stat:
        # Back as it was: the code it has is the code of this content.
        plan.unchanged += 1
        if row.state != GOOD:
            plan.back.append(row.id)
        if row.failed_size is not None:
            plan.forget.append(entry.path)
    elif row is not None and (row.failed_size, row.failed_mtime_ns) == stat and not retry:
        plan.known_failures += 1
    else:
        plan.todo.append(entry)
        if row is not None and row.id is not None:
            plan.ids[entry.path] = row.id

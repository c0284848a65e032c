"""What an `add` has to do: the sources as they are now against what the catalogue knows, by sizes and times alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from sightbook.errors import LibraryError, PictureError, SourceError, typed
from sightbook.images.entry import Entry
from sightbook.images.guards import limits
from sightbook.images.pool import digest
from sightbook.images.sources import Source, Sources, open_sources, source_id
from sightbook.images.vectors import fitting_length
from sightbook.images.versions import VERSION, reads_otherwise
from sightbook.library.catalogue import Catalogue
from sightbook.library.schema import GOOD, MISSING, Known, MissingRow, Moved, SourceRow
from sightbook.model.config import ModelConfig
from sightbook.progress import Listener, Meter, Notice


@dataclass
class Plan:
    """One source's share of an `add`.

    todo: entries to read; ids: those that some of their paths have already; back: ids that are good again without
    reading; missing: ids whose file is gone; moved: ids found again under another path, each with where it was;
    forget: failures of files that are gone or good again; found: entries the source has now; outdated: an older version
    read its pictures; anew: pictures of `todo` for that reason alone.
    """

    source: Source
    todo: list[Entry] = field(default_factory=list)
    ids: dict[str, int] = field(default_factory=dict)
    back: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    moved: list[tuple[Moved, MissingRow]] = field(default_factory=list)
    forget: list[str] = field(default_factory=list)
    unchanged: int = 0
    known_failures: int = 0
    gone_before: list[int] = field(default_factory=list)
    found: int = 0
    outdated: bool = False
    anew: int = 0

    @property
    def empty(self) -> bool:
        """Whether all that was known of the source is gone: perhaps its drive is not mounted."""
        return self.found == 0 and bool(self.missing or self.gone_before)


def resolve(
    catalogue: Catalogue,
    library: Path,
    specs: Sequence[str | Path],
    moved_from: str | Path | None,
    listener: Listener,
    *,
    exclude: Sequence[str] = (),
    may_be_empty: bool = False,
) -> Sources:
    """Opens the sources under the ids they have in this library; a new root gets an id that no other source has.

    exclude: globs of what is not taken; may_be_empty: a source that is known may have lost all its pictures.
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
    known = {Path(row.root) for row in rows} if may_be_empty else set()
    sources = open_sources(specs, ids, exclude=exclude, may_be_empty=known)
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
                            f"--moved-from {typed(row.root)}, so that its pictures keep their ids"
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


def refuse_other_kind(sources: Iterable[Source | SourceRow], config: ModelConfig, library: Path) -> None:
    """LibraryError when a source holds pictures and the library's model takes vectors, or the other way round."""
    for source in sources:
        if source.kind == "vectors" and config.frame is not None:
            raise LibraryError(
                f"{source.root} holds vectors, and the model of {library} takes pictures: give a library of its own, "
                "with a model that was learned from vectors"
            )
        if source.kind != "vectors" and config.frame is None:
            raise LibraryError(
                f"{source.root} holds pictures, and the model of {library} takes vectors of {config.features} numbers: "
                "give a .npy or a .parquet with a column of vectors, or a library of its own, with a model of pictures"
            )


def refuse_other_length(sources: Iterable[Source | SourceRow], config: ModelConfig, library: Path) -> None:
    """LibraryError when a file holds not one vector of the length that the library's model takes: all would fail."""
    for source in sources:
        root = str(source.root)
        if source.kind == "vectors" and (F := fitting_length(root, config.features)) != config.features:
            raise LibraryError(
                f"{root} holds vectors of {F} numbers, and the model of {library} takes {config.features}: give "
                "vectors of the network that it was learned from, or a library of its own, with a model of these"
            )


def scan(catalogue: Catalogue, source: Source, *, retry: bool, meter: Meter) -> Plan:
    """Compares one source with the catalogue. A picture counts as unchanged when size and time (ns) are equal.

    retry: read files again that failed before, though unchanged. Pictures that are not found are missing only when the
    whole source was seen: not when single pictures were named or a sub-folder could not be read.
    """
    plan = Plan(source, outdated=catalogue.decoding(source.id) < VERSION)
    known = catalogue.known(source.id)
    for entry in source.entries():
        meter.advance()
        plan.found += 1
        _compare(plan, entry, known.pop(entry.path, None), retry or plan.outdated)
    for problem in source.problems:
        meter.listener(Notice(problem))
    if source.names is None and not source.problems:
        for path, row in known.items():
            if row.failed_size is not None:
                plan.forget.append(path)
            if row.id is not None and row.state != MISSING:
                plan.missing.append(row.id)
            elif row.id is not None:
                plan.gone_before.append(row.id)
    return plan


def find_moved(catalogue: Catalogue, plans: Sequence[Plan]) -> None:
    """Recognizes new paths whose content is that of a picture that is missing: moved or renamed, they keep their ids.

    Only files as large as a missing picture are read. Pictures missing from sources that are not in `plans` count, too:
    files move between folders. Of several equal files the first takes the id.
    """
    gone = catalogue.rows([id for plan in plans for id in plan.missing])
    seen = {row.id for row in gone}
    gone += [row for row in catalogue.missing() if row.id not in seen]
    taken = {id for plan in plans for id in plan.back}  # missing until now, and there again
    by_content: dict[bytes, list[MissingRow]] = {}
    for row in sorted(gone, reverse=True):
        if row.id not in taken:
            by_content.setdefault(row.digest, []).append(row)
    sizes = {row.size for rows in by_content.values() for row in rows}
    moved: set[int] = set()
    for plan in plans:
        kept = []
        for entry in plan.todo:
            rows = None
            if entry.path not in plan.ids and entry.size in sizes:
                with contextlib.suppress(PictureError, SourceError):  # the encoding names it, with its reason
                    rows = by_content.get(digest(entry.read(limits().bytes)))
            if rows:
                row = rows.pop()
                plan.moved.append((Moved(row.id, entry.path, entry.mtime_ns), row))
                moved.add(row.id)
            else:
                kept.append(entry)
        plan.todo = kept
    for plan in plans:
        plan.missing = [id for id in plan.missing if id not in moved]
        plan.gone_before = [id for id in plan.gone_before if id not in moved]


def is_there(root: str | Path) -> bool:
    """Whether a source's root can be reached now; one behind a folder we may not enter cannot."""
    return os.path.exists(root)  # noqa: PTH110  Path.exists raises PermissionError then


def _compare(plan: Plan, entry: Entry, row: Known | None, retry: bool) -> None:
    stat = (entry.size, entry.mtime_ns)
    if row is not None and row.id is not None and (row.size, row.mtime_ns) == stat:
        # Back as it was: the code it has is the code of this content.
        if plan.outdated and row.state == GOOD and reads_otherwise(entry):
            plan.todo.append(entry)
            plan.ids[entry.path] = row.id
            plan.anew += 1
            return
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

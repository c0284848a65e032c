"""What an `add` has to do: the sources as they are now against what the catalogue knows, by sizes and times alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sightbook.catalogue import remembered
from sightbook.catalogue.catalogue import Catalogue
from sightbook.catalogue.rows import GOOD, MISSING, Known, MissingRow, Moved, SourceRow
from sightbook.errors import PictureError, SourceError, typed
from sightbook.images.entry import Entry
from sightbook.images.kinds.registry import kind_of
from sightbook.images.left_out import Group
from sightbook.images.load.pool import digest
from sightbook.images.pixels.versions import VERSION, reads_otherwise
from sightbook.images.sources import Source, open_sources
from sightbook.ingest.order import Order
from sightbook.ingest.overlap import Overlaps
from sightbook.ingest.passing import reader
from sightbook.ingest.recall import Recalled
from sightbook.ingest.takeover import TakeOver
from sightbook.progress import Listener, Meter, Notice


@dataclass
class Plan:
    """One source's share of an `add`.

    todo: entries to read; ids: those that some of their paths have already; back: ids that are good again without
    reading; missing: ids whose file is gone; moved: ids found again under another path, each with where it was;
    forget: failures of files that are gone or good again; found: entries the source has now; taken: pictures of other
    sources that are this one's (overlap.py), which all else goes by already; bystander: nothing else is to be done;
    drawn: paths of sheets and plots that sightbook made; aside: members of the pattern, of which the source is one,
    that hold nothing; outdated: the older version that read its pictures, 0: none; anew: pictures of `todo` for that
    reason alone.
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
    taken: list[TakeOver] = field(default_factory=list)
    bystander: bool = False
    drawn: list[str] = field(default_factory=list)
    aside: list[Group] = field(default_factory=list)
    outdated: int = 0
    anew: int = 0

    @property
    def left_out(self) -> list[Group]:
        """What the source holds and is not taken."""
        return remembered.with_drawn(self.source, self.source.left_out.groups, self.drawn)

    @property
    def empty(self) -> bool:
        """Whether all that was known of the source is gone: perhaps its drive is not mounted."""
        return self.found == 0 and bool(self.missing or self.gone_before)


def scan_all(
    catalogue: Catalogue, sources: Iterable[Source], order: Order, meter: Meter, library: Path
) -> list[Plan]:
    """The plan of each source, such that no picture is in two; and of sources that were not given, but hold doubles."""
    sources = list(sources)
    overlaps = Overlaps(catalogue, sources, Recalled(catalogue, order.forget_excludes))
    plans = [
        scan(catalogue, source, overlaps, retry=order.retry, meter=meter)
        # Outer folders first: what lies in one is its part.
        for source in sorted(sources, key=lambda source: len(source.root.parts))
        if overlaps.place(source)
    ]
    outer = [plan.source for plan in plans if not overlaps.within(plan.source)]
    given = [source for source in sources if any(source is each for each in outer)]
    if len(outer) < len(plans):  # a link led into a source that was gone through before
        return scan_all(catalogue, given, order, meter, library)
    plans.sort(key=lambda plan: next(n for n, source in enumerate(given) if source is plan.source))
    for plan in plans if len(plans) > 1 else ():
        new = [entry for entry in plan.todo if entry.path not in plan.ids]
        kept = {id(entry) for entry in overlaps.own(plan.source, new)}
        plan.todo = [entry for entry in plan.todo if entry.path in plan.ids or id(entry) in kept]
    for row in overlaps.bystanders(plan.source.id for plan in plans):
        source = Source(row.id, kind_of(row.kind), Path(row.root))
        taken = overlaps.take_known(source, catalogue.known(row.id))
        if taken:
            plans.append(Plan(source, taken=taken, bystander=True))
    _tell(catalogue, plans, overlaps, library, meter.listener)
    return plans


def _tell(
    catalogue: Catalogue, plans: Sequence[Plan], overlaps: Overlaps, library: Path, listener: Listener
) -> None:
    for row, source in overlaps.moved:
        listener(Notice(f"{row.root} is {source.root} now: its pictures keep their ids"))
    for plan in plans:
        for taken in plan.taken:
            doubles = f", {len(taken.doubles):,} were there twice" if taken.doubles else ""
            listener(
                Notice(
                    f"{taken.pictures:,} pictures of {taken.row.root} are part of {plan.source.root} and keep their "
                    f"ids{doubles}"
                )
            )
    away = {row.id for row, _ in overlaps.moved} | {taken.row.id for plan in plans for taken in plan.taken}
    if all(plan.source.id in overlaps.known for plan in plans):
        return
    for row in catalogue.sources():
        if row.id not in away and not is_there(row.root):
            listener(
                Notice(
                    f"{row.root} is not there now, and its pictures were not found here; if it is gone for good, "
                    f"`sightbook remove {typed(library)} {typed(row.root)}` takes them out"
                )
            )


def scan(catalogue: Catalogue, source: Source, overlaps: Overlaps, *, retry: bool, meter: Meter) -> Plan:
    """Compares one source with the catalogue. A picture counts as unchanged when size and time (ns) are equal.

    retry: read files again that failed before, though unchanged; so are those that another reader could not read
    (passing.py). Pictures that are not found are missing only when the whole source was seen: not when single pictures
    were named or a sub-folder could not be read.
    """
    plan = Plan(source)
    known, drawn = catalogue.known(source.id), remembered.drawn(catalogue, source.id)
    plan.taken = overlaps.take_known(source, known)
    drawn |= _taken_drawn(catalogue, plan.taken)
    fresh: list[Entry] = []
    folders: set[str] = set()

    def look() -> bool:
        """Whether failures are tried again; also notes whether an older version read some of the pictures."""
        ids = {source.id, *(taken.row.id for taken in plan.taken)} & overlaps.known
        oldest = min((catalogue.decoding(id) for id in ids), default=VERSION)
        plan.outdated = oldest if oldest < VERSION else 0
        return retry or bool(plan.outdated) or any(catalogue.reader(id) != reader() for id in ids)

    def compare(entry: Entry, row: Known | None) -> None:
        before = plan.known_failures
        _compare(plan, entry, row, anew)
        if plan.known_failures > before and entry.path in drawn:
            plan.known_failures = before
            plan.drawn.append(entry.path)

    anew = look()
    for entry in source.entries():
        meter.advance()
        plan.found += 1
        folders.add(entry.path[: entry.path.rfind("/") + 1])
        row = known.pop(entry.path, None)
        if row is None:
            fresh.append(entry)
        else:
            compare(entry, row)
    if fresh:
        taken, fresh = overlaps.take_found(source, known, fresh)
        plan.taken += taken
        # A source that has moved is known by its old id from here on.
        drawn |= remembered.drawn(catalogue, source.id) | _taken_drawn(catalogue, taken)
        anew = look()
        for entry in fresh:
            compare(entry, known.pop(entry.path, None))
    if source.of_kind.files and source.names is None:
        overlaps.reach(source, folders)
    for problem in source.problems:
        meter.listener(Notice(problem))
    if source.names is None and not source.problems:
        for path, row in known.items():
            if not path.startswith(source.inside):
                continue
            if row.failed_size is not None:
                plan.forget.append(path)
            if row.id is not None and row.state != MISSING:
                plan.missing.append(row.id)
            elif row.id is not None:
                plan.gone_before.append(row.id)
    return plan


def _taken_drawn(catalogue: Catalogue, taken: Sequence[TakeOver]) -> set[str]:
    """The new paths of sheets and plots of ours that were known of other sources."""
    places: set[str] = set()
    for each in taken:
        drawn = remembered.drawn(catalogue, each.row.id) if each.failures else set()
        places |= {place for path, place in each.failures if path in drawn}
    return places


def find_moved(catalogue: Catalogue, plans: Sequence[Plan]) -> None:
    """Recognizes new paths whose content is that of a picture that is missing: moved or renamed, they keep their ids.

    Only files as large as a missing picture are read. Pictures missing from sources that are not in `plans` count, too:
    files move between folders. Of several equal files the first takes the id.
    """
    gone = catalogue.rows([id for plan in plans for id in plan.missing])
    seen = {row.id for row in gone}
    gone += [row for row in catalogue.missing() if row.id not in seen]
    older = {
        id: version for id in {row.source for row in gone} if (version := catalogue.decoding(id)) < VERSION
    }
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
                    rows = by_content.get(digest(entry.read()))
            if rows:
                row = rows.pop()
                plan.moved.append((Moved(row.id, entry.path, entry.mtime_ns), row))
                moved.add(row.id)
                if row.source not in older or not reads_otherwise(entry, older[row.source]):
                    continue
                plan.ids[entry.path] = row.id  # it keeps its id, and is read anew
                plan.anew += 1
                plan.outdated = min(plan.outdated or VERSION, older[row.source])
            kept.append(entry)
        plan.todo = kept
    for plan in plans:
        plan.missing = [id for id in plan.missing if id not in moved]
        plan.gone_before = [id for id in plan.gone_before if id not in moved]


def entries_of(row: SourceRow) -> Iterator[Entry]:
    """What a known source holds now, under its id, also where it is empty or stands behind a link by now."""
    root = Path(row.root).resolve()
    return open_sources([row.root], {root: row.id}, may_be_empty=[root]).entries()


def is_there(root: str | Path) -> bool:
    """Whether a source's root can be reached now; one behind a folder we may not enter cannot."""
    return os.path.exists(root)  # noqa: PTH110  Path.exists raises PermissionError then


def _compare(plan: Plan, entry: Entry, row: Known | None, retry: bool) -> None:
    stat = (entry.size, entry.mtime_ns)
    if row is not None and row.id is not None and (row.size, row.mtime_ns) == stat:
        # Back as it was: the code it has is the code of this content.
        if plan.outdated and row.state == GOOD and reads_otherwise(entry, plan.outdated):
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

"""`add`: scan, then encode what is new or changed, committed in batches.

Data flow: sources → scan (sizes and times against the catalogue) → encode (only what must be) → batches → catalogue.
When nothing is to be read, neither worker processes nor the encoder are started.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sightbook.catalogue import folder, remembered
from sightbook.catalogue.catalogue import Catalogue
from sightbook.catalogue.fine import UNASKED, too_many
from sightbook.catalogue.rows import FailureRow, PictureRow
from sightbook.errors import SourceError
from sightbook.images.entry import Entry, noun
from sightbook.images.left_out import LeftOut
from sightbook.images.names import to_native
from sightbook.images.ours import DRAWN
from sightbook.images.pixels.versions import VERSION
from sightbook.ingest import sizes
from sightbook.ingest.commit import commit_all
from sightbook.ingest.means import Means
from sightbook.ingest.order import Order, Prune
from sightbook.ingest.passing import failure, reader
from sightbook.ingest.plan import left_out_of, plan_all
from sightbook.ingest.report import AddReport, Failure
from sightbook.ingest.scan import Plan, is_there
from sightbook.progress import Listener, Notice
from sightbook.words import counted

if TYPE_CHECKING:
    from sightbook.model.model import Model


def add(
    catalogue: Catalogue, library: Path, open_model: Callable[[], Model], order: Order, means: Means
) -> AddReport:
    """Brings the catalogue up to date with the sources; the caller holds the writer lock. See `Library.add`."""
    started = time.monotonic()
    listener = means.listener
    plans = plan_all(catalogue, library, order, listener)
    _decline_fine(catalogue, library, plans, listener)
    if anew := sum(plan.anew for plan in plans):
        listener(
            Notice(
                f"{anew:,} of the pictures that are known were read by an older version, which took their colours "
                "otherwise: they are read anew"
            )
        )
    removed = _settle_all(catalogue, plans, order.prune)
    run = _Run(catalogue, {plan.source.id: plan for plan in plans}, means)
    todo = [entry for plan in plans for entry in plan.todo]
    encoding = time.monotonic()
    if todo:
        run.encode(todo, open_model())
    for plan in plans:
        _note_reader(catalogue, plan)
    if run.added and (remark := sizes.remark(catalogue, library, run.added)):
        listener(Notice(remark))
    ended = time.monotonic()
    return AddReport(
        added=run.added,
        changed=run.changed,
        unchanged=sum(plan.unchanged for plan in plans) + run.same,
        failed=run.failures,
        known_failures=sum(plan.known_failures for plan in plans),
        missing=sum(len(plan.missing) + len(plan.gone_before) for plan in plans) + run.gone,
        moved=sum(len(plan.moved) for plan in plans),
        removed=removed,
        seconds=ended - started,
        rate=len(todo) / (ended - encoding) if todo else 0.0,
        left_out=left_out_of(plans),
    )


def _decline_fine(catalogue: Catalogue, library: Path, plans: Sequence[Plan], listener: Listener) -> None:
    """Where the first pictures are too many for fine codes that nobody asked for, none are kept."""
    if not too_many(catalogue, sum(len(plan.todo) for plan in plans)):
        return
    what = noun(any(plan.source.of_kind.of_vectors for plan in plans))
    listener(
        Notice(
            f"more than {UNASKED:,} {what}: no fine codes are kept; a new library with --fine keeps them, "
            f"at {catalogue.fine} bytes a {what[:-1]}"
        )
    )
    catalogue.decline_fine()
    folder.catch_up(library, catalogue.fingerprint, catalogue.fine)


def _settle_all(catalogue: Catalogue, plans: Sequence[Plan], prune: Prune) -> int:
    """Commits what the scans alone decide; returns how many pictures were pruned."""
    known = {row.id for row in catalogue.sources()}
    removed = 0
    for plan in plans:
        if plan.outdated and not plan.bystander:
            # What comes from an older source makes this one older until it was read: a kill must not hide that.
            catalogue.put_decoding(plan.source.id, plan.outdated)
        elif plan.source.id not in known and not plan.taken:
            catalogue.put_decoding(plan.source.id, VERSION)
        _settle(catalogue, plan)
        if prune:
            removed += catalogue.remove([*plan.missing, *plan.gone_before])
            plan.missing, plan.gone_before = [], []
    return removed


def _note_reader(catalogue: Catalogue, plan: Plan) -> None:
    """Notes who has read a source, where all of it was."""
    if plan.source.names is not None or plan.source.inside or plan.bystander:
        return
    if catalogue.reader(plan.source.id) != reader():
        catalogue.put_reader(plan.source.id, reader())
    if (plan.outdated or plan.taken) and not plan.source.problems:
        catalogue.put_decoding(plan.source.id, VERSION)


def _settle(catalogue: Catalogue, plan: Plan) -> None:
    """Commits what the scan alone decides."""
    now, source = time.time(), plan.source
    catalogue.put_source(source.id, source.kind, str(source.root), now)
    for taken in plan.taken:
        taken.commit(catalogue, source.id)
    if plan.bystander:
        return
    catalogue.settle(
        source.id,
        back=plan.back,
        missing=plan.missing,
        moved=[moved for moved, _ in plan.moved],
        forget=plan.forget,
        now=now,
    )
    if source.names is None:
        groups = None if source.inside else LeftOut([*source.left_out.groups, *plan.aside]).groups
        remembered.remember(catalogue, source.id, source.exclude, groups)


class _Gone(NamedTuple):
    """The key of a picture whose file vanished since the scan."""

    source: str
    path: str


_Row = PictureRow | FailureRow | _Gone


class _Run:
    """The encoding part of one `add`: makes rows of results, commits them, counts."""

    def __init__(self, catalogue: Catalogue, plans: dict[str, Plan], means: Means) -> None:
        self._catalogue, self._plans, self._means = catalogue, plans, means
        self.added = self.changed = self.same = self.gone = 0
        self.failures: list[Failure] = []

    def encode(self, todo: list[Entry], model: Model) -> None:
        """What was encoded is good: it is kept, whatever stops the rest."""
        with closing(self._rows(todo, model)) as rows:
            try:
                commit_all(rows, self._write)
            except (KeyboardInterrupt, SourceError):
                kept, what = self.added + self.changed + self.same, noun(model.takes_vectors)
                self._means.listener(
                    Notice(f"{kept:,} of {counted(len(todo), what[:-1])} were encoded and are kept")
                )
                raise

    def _rows(self, todo: list[Entry], model: Model) -> Generator[_Row, None, None]:
        from sightbook.model.encode import Encoded

        fine = bool(self._catalogue.fine)
        with closing(self._means.results(todo, model)) as results:
            for entry, result in results:
                if not isinstance(result, Encoded):
                    yield self._fail(entry, result.reason)
                    continue
                yield PictureRow(
                    *entry.key,
                    entry.size,
                    entry.mtime_ns,
                    result.digest,
                    result.about,
                    model.pack(result.codes[None])[0].tobytes(),
                    model.fine(result.x[None])[0].tobytes() if fine else b"",
                )

    def _fail(self, entry: Entry, reason: str) -> FailureRow | _Gone:
        plan = self._plans[entry.source]
        source = plan.source
        if not is_there(source.root):
            # An unplugged drive says nothing about its pictures.
            raise SourceError(
                f"the source {source.root} vanished while it was read: mount its drive or restore it, then run the "
                "same command again"
            )
        if reason == DRAWN:
            plan.drawn.append(entry.path)
            return FailureRow(*entry.key, entry.size, entry.mtime_ns, reason, time.time())
        locator = source.of_kind.locate(str(source.root), entry.path)
        self.failures.append(Failure(entry.source, entry.path, locator, reason, time.time()))
        self._means.listener(Notice(f"{locator}: {reason}"))
        if source.of_kind.files and not os.path.lexists(source.root / to_native(entry.path)):
            return _Gone(*entry.key)
        return failure(entry, reason)

    def _write(self, rows: list[_Row]) -> None:
        good = [row for row in rows if isinstance(row, PictureRow)]
        bad = [row for row in rows if isinstance(row, FailureRow)]
        gone = [row for row in rows if isinstance(row, _Gone)]
        ids = {row: self._plans[row.source].ids.get(row.path) for row in good}
        digests = self._catalogue.digests([id for id in ids.values() if id is not None])
        self._catalogue.put(good, bad, gone)
        # Counted only now: a report never promises what is not on disk.
        for row, id in ids.items():
            if id is None:
                self.added += 1
            elif digests.get(id) == row.digest:
                self.same += 1  # touched, or copied back: another time, the same bytes
            else:
                self.changed += 1
        self.gone += len(gone)

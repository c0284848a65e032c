"""`add`: scan, then encode what is new or changed, committed in batches.

Data flow: sources → scan (sizes and times against the catalogue) → encode (only what must be) → batches → catalogue.
When nothing is to be read, neither worker processes nor the encoder are started.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sightbook.catalogue import folder, remembered
from sightbook.catalogue.catalogue import Catalogue
from sightbook.catalogue.database import DatabaseError
from sightbook.catalogue.fine import UNASKED, too_many
from sightbook.catalogue.rows import FailureRow, PictureRow
from sightbook.errors import LibraryError, SourceError
from sightbook.images.entry import Entry, locate, noun
from sightbook.images.exclude import below, within
from sightbook.images.left_out import LeftOut
from sightbook.images.names import to_native
from sightbook.images.ours import DRAWN
from sightbook.images.pixels.versions import VERSION
from sightbook.ingest.passing import failure, reader
from sightbook.ingest.report import AddPlan, AddReport, Failure
from sightbook.ingest.scan import (
    Plan,
    find_moved,
    is_there,
    refuse_other_kind,
    refuse_other_length,
    resolve,
    scan_all,
)
from sightbook.interrupt import deferred_interrupt
from sightbook.model.config import ModelConfig
from sightbook.progress import Listener, Meter, Notice
from sightbook.words import counted

if TYPE_CHECKING:
    from sightbook.images.sources import Source
    from sightbook.model.encode import Encoded, Failed
    from sightbook.model.model import Model
    from sightbook.model.seen import Seen

# Whether pictures that are gone from a source are forgotten; "all": even when nothing of the source is left.
Prune = bool | Literal["all"]

# A batch is committed when it has this many pictures or is this old: what a kill can cost is seconds.
_BATCH, _SECONDS = 512, 5.0


def add(
    catalogue: Catalogue,
    library: Path,
    open_model: Callable[[], Model],
    specs: Sequence[str | Path],
    *,
    jobs: int | None,
    moved_from: str | Path | None,
    retry: bool,
    exclude: Sequence[str],
    forget_excludes: bool,
    prune: Prune,
    seen: Seen | None,
    listener: Listener,
) -> AddReport:
    """Brings the catalogue up to date with the sources; the caller holds the writer lock. See `Library.add`."""
    started = time.monotonic()
    plans = planned(
        catalogue, library, specs,
        moved_from=moved_from, retry=retry, exclude=exclude, forget_excludes=forget_excludes, prune=prune,
        listener=listener,
    )  # fmt: skip
    if too_many(catalogue, sum(len(plan.todo) for plan in plans)):
        what = noun(any(plan.source.kind == "vectors" for plan in plans))
        listener(
            Notice(
                f"more than {UNASKED:,} {what}: no fine codes are kept; a new library with --fine keeps them, "
                f"at {catalogue.fine} bytes a {what[:-1]}"
            )
        )
        catalogue.decline_fine()
        folder.catch_up(library, catalogue.fingerprint, catalogue.fine)
    anew = sum(plan.anew for plan in plans)
    if anew:
        listener(
            Notice(
                f"{anew:,} of the pictures that are known were read by an older version, which took their colours "
                "otherwise: they are read anew"
            )
        )
    known = {row.id for row in catalogue.sources()}
    removed = 0
    for plan in plans:
        if plan.source.id not in known and not plan.taken:
            catalogue.put_decoding(plan.source.id, VERSION)
        elif plan.outdated and not plan.bystander:
            # What comes from an older source makes this one older until it was read: a kill must not hide that.
            catalogue.put_decoding(plan.source.id, 1)
        _settle(catalogue, plan)
        if prune:
            removed += catalogue.remove([*plan.missing, *plan.gone_before])
            plan.missing, plan.gone_before = [], []
    run = _Run(catalogue, {plan.source.id: plan for plan in plans}, listener)
    todo = [entry for plan in plans for entry in plan.todo]
    encoding = time.monotonic()
    if todo:
        run.encode(todo, open_model(), jobs, seen)
    for plan in plans:
        whole = plan.source.names is None and not plan.source.inside and not plan.bystander
        if whole and catalogue.reader(plan.source.id) != reader():
            catalogue.put_reader(plan.source.id, reader())
        if whole and (plan.outdated or plan.taken) and not plan.source.problems:
            catalogue.put_decoding(plan.source.id, VERSION)
    ended = time.monotonic()
    return AddReport(
        added=run.added,
        changed=run.changed,
        unchanged=sum(plan.unchanged for plan in plans) + run.same,
        failed=run.failures,
        known_failures=sum(plan.known_failures for plan in plans),
        missing=sum(len(plan.missing) + len(plan.gone_before) for plan in plans) + len(run.gone),
        moved=sum(len(plan.moved) for plan in plans),
        removed=removed,
        seconds=ended - started,
        rate=len(todo) / (ended - encoding) if todo else 0.0,
        left_out=LeftOut(group for plan in plans for group in (*plan.left_out, *plan.aside)).groups,
    )


def planned(
    catalogue: Catalogue,
    library: Path,
    specs: Sequence[str | Path],
    *,
    moved_from: str | Path | None,
    retry: bool,
    exclude: Sequence[str],
    forget_excludes: bool = False,
    prune: Prune,
    listener: Listener,
    config: ModelConfig | None = None,
) -> list[Plan]:
    """What an `add` has to do, without doing any of it: the plan of each source.

    config: of the model that the sources must fit; None: the library's own.
    LibraryError when a source is not of the kind or length that the model takes, or `prune` would take everything that
    is known of a source, and was not told "all".
    """
    sources = resolve(
        catalogue, library, specs, moved_from,
        exclude=exclude, forget_excludes=forget_excludes, may_be_empty=prune == "all",
    )  # fmt: skip
    if folder.exists(library):
        config = config or ModelConfig.read(folder.model_of(library, catalogue.fingerprint))
        refuse_other_kind(sources, config, library)
        refuse_other_length(sources, config, library)
    meter = Meter(listener, "scan")
    plans = scan_all(catalogue, sources, retry=retry, meter=meter, library=library)
    meter.close()
    if plans:  # empty members of a pattern are told of beside the first whole source of it
        first = next((plan for plan in plans if plan.source.names is None), plans[0])
        first.aside = sources.aside.groups
    for glob in exclude:
        if all(_unfit(glob, plan.source) for plan in plans if not plan.bystander):
            places = ", ".join(str(plan.source.root) for plan in plans)
            listener(Notice(f"the exclude {glob!r} fits nothing in {places}"))
    find_moved(catalogue, plans)
    for plan in plans:
        if prune and prune != "all" and plan.empty:
            raise LibraryError(
                f"not one of the {noun(plan.source.kind == 'vectors')} that {library} knows of {plan.source.root} is "
                f"there, so pruning would remove all {len(plan.missing) + len(plan.gone_before):,} of them: mount its "
                "drive, or say --prune-all if they are gone for good"
            )
    return plans


def _unfit(glob: str, source: Source) -> bool:
    """Whether an exclude that was asked for fits nothing of a source."""
    placed = below(glob, source.inside) if source.inside else [within(glob, str(source.root))]
    return all(each in ("", *source.unfit) for each in placed)


def told(catalogue: Catalogue, plans: Sequence[Plan]) -> AddPlan:
    """The plans as what a user reads."""
    new, changed, moved, missing = [], [], [], []
    for plan in plans:
        source = plan.source

        def where(path: str, source: Source = source) -> str:
            return locate(source.kind, str(source.root), path)

        new += [where(entry.path) for entry in plan.todo if entry.path not in plan.ids]
        changed += [where(entry.path) for entry in plan.todo if entry.path in plan.ids]
        keys = catalogue.keys([row.id for _, row in plan.moved] + plan.missing + plan.gone_before)
        for found, row in plan.moved:
            old = keys[row.id]
            moved.append((locate(old.kind, old.root, old.path), where(found.path)))
        missing += [where(keys[id].path) for id in (*plan.missing, *plan.gone_before)]
    return AddPlan(
        new,
        changed,
        moved,
        missing,
        sum(plan.unchanged for plan in plans),
        sum(plan.known_failures for plan in plans),
        LeftOut(group for plan in plans for group in (*plan.left_out, *plan.aside)).groups,
    )


def _settle(catalogue: Catalogue, plan: Plan) -> None:
    """Commits what the scan alone decides."""
    now, source = time.time(), plan.source
    catalogue.put_source(source.id, source.kind, str(source.root), now)
    for taken in plan.taken:
        catalogue.take_over(
            source.id, taken.row.id, rekeyed=taken.rekeyed, doubles=taken.doubles, failures=taken.failures
        )
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


class _Run:
    """The encoding part of one `add`: gathers results, commits them in batches, counts."""

    def __init__(self, catalogue: Catalogue, plans: dict[str, Plan], listener: Listener) -> None:
        self.catalogue, self.plans, self.listener = catalogue, plans, listener
        self._fine = bool(catalogue.fine)
        self.added = self.changed = self.same = 0
        self.failures: list[Failure] = []
        self.gone: list[tuple[str, str]] = []
        self._good: list[PictureRow] = []
        self._bad: list[FailureRow] = []
        self._gone: list[tuple[str, str]] = []
        self._committed = time.monotonic()

    def encode(
        self,
        todo: list[Entry],
        model: Model,
        jobs: int | None,
        seen: Seen | None,
    ) -> None:
        from sightbook.model.encode import encode

        results = encode(todo, model, jobs=jobs, listener=self.listener, total=len(todo), seen=seen)
        with closing(results):
            try:
                self._take(results, model)
            except DatabaseError:
                raise  # it was a commit that failed
            except BaseException as error:
                # What was encoded is good: keep it, then stop. Whatever else it is, a listener raised it to that end.
                self._commit()
                if not isinstance(error, KeyboardInterrupt | SourceError):
                    raise
                kept = self.added + self.changed + self.same
                what = noun(model.takes_vectors)
                self.listener(
                    Notice(f"{kept:,} of {counted(len(todo), what[:-1])} were encoded and are kept")
                )
                raise
        self._commit()

    def _take(self, results: Iterator[Encoded | Failed], model: Model) -> None:
        from sightbook.model.encode import Encoded

        for result in results:
            entry = result.entry
            if isinstance(result, Encoded):
                code = model.pack(result.codes[None])[0].tobytes()
                fine = model.fine(result.x[None])[0].tobytes() if self._fine else b""
                stat = (entry.size, entry.mtime_ns)
                self._good.append(
                    PictureRow(
                        entry.source,
                        entry.path,
                        *stat,
                        result.digest,
                        result.about,
                        code,
                        fine,
                    )
                )
            else:
                self._fail(entry, result.reason)
            full = len(self._good) + len(self._bad) + len(self._gone) >= _BATCH
            if full or time.monotonic() - self._committed > _SECONDS:
                self._commit()

    def _fail(self, entry: Entry, reason: str) -> None:
        source = self.plans[entry.source].source
        if not is_there(source.root):
            # An unplugged drive says nothing about its pictures.
            raise SourceError(
                f"the source {source.root} vanished while it was read: mount its drive or restore it, then run the "
                "same command again"
            )
        locator = locate(source.kind, str(source.root), entry.path)
        if reason == DRAWN:
            self.plans[entry.source].drawn.append(entry.path)
            self._bad.append(FailureRow(*entry.key, entry.size, entry.mtime_ns, reason, time.time()))
            return
        self.failures.append(Failure(entry.source, entry.path, locator, reason, time.time()))
        self.listener(Notice(f"{locator}: {reason}"))
        if source.kind == "folder" and not os.path.lexists(source.root / to_native(entry.path)):
            self._gone.append(entry.key)
        else:
            self._bad.append(failure(entry, reason))

    def _commit(self) -> None:
        """Writes and counts what was gathered; Ctrl-C waits, so that no batch is written twice or counted wrongly."""
        with deferred_interrupt() as interrupted:
            self._write()
        if interrupted():
            raise KeyboardInterrupt

    def _write(self) -> None:
        good, bad, gone = self._good, self._bad, self._gone
        self._committed = time.monotonic()
        if not good and not bad and not gone:
            return
        ids = {row: self.plans[row.source].ids.get(row.path) for row in good}
        digests = self.catalogue.digests([id for id in ids.values() if id is not None])
        self.catalogue.put(good, bad, gone)
        # Counted only now: a report never promises what is not on disk.
        for row, id in ids.items():
            if id is None:
                self.added += 1
            elif digests.get(id) == row.digest:
                self.same += 1  # touched, or copied back: another time, the same bytes
            else:
                self.changed += 1
        self.gone += gone
        self._good, self._bad, self._gone = [], [], []

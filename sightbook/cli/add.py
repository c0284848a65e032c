"""`sightbook add`: make a library of pictures, or bring one up to date."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sightbook.cli import completion
from sightbook.cli.options import Jobs, Json, LibraryFolder, Sources, Wait

if TYPE_CHECKING:
    from sightbook.ingest.report import AddPlan, AddReport

_SHOWN = 20

Model = Annotated[
    Path | None,
    typer.Option(
        metavar="MODEL",
        autocompletion=completion.model,
        help="The model that makes the codes of a new library.",
        show_default="learned from the pictures, over the built-in network",
    ),
]
Fine = Annotated[
    bool | None,
    typer.Option(
        "--fine/--no-fine",
        help="Whether a new library keeps a fine code of each picture, for better first answers; when not given: "
        "if the model has them and the pictures are at most 1,000,000.",
    ),
]
MovedFrom = Annotated[
    str | None,
    typer.Option(metavar="OLD", help="Where this SOURCE was when it was added; its pictures keep their ids."),
]
Retry = Annotated[bool, typer.Option("--retry", help="Also try again what could not be read before.")]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GLOB",
        help="Leave out pictures or folders that fit, such as drafts or *.gif, now and later; may be repeated.",
    ),
]
NoExclude = Annotated[bool, typer.Option("--no-exclude", help="Forget what was excluded before.")]
Prune = Annotated[bool, typer.Option("--prune", help="Forget pictures that are gone from the SOURCE.")]
PruneAll = Annotated[
    bool,
    typer.Option(
        "--prune-all", help="The same, even when nothing of the SOURCE is left.", show_default=False
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


def add(
    library: LibraryFolder,
    source: Sources,
    *,
    model: Model = None,
    fine: Fine = None,
    jobs: Jobs = None,
    moved_from: MovedFrom = None,
    retry: Retry = False,
    exclude: Exclude = None,
    no_exclude: NoExclude = False,
    prune: Prune = False,
    prune_all: PruneAll = False,
    dry_run: DryRun = False,
    wait: Wait = 0,
    as_json: Json = False,
) -> None:
    """Add pictures to a library; makes the library on first use.

    Run it again whenever pictures were added, changed, moved or deleted: only what is new is read, what was moved keeps
    its id, what is gone is left out of searches. A picture that cannot be read is named and skipped. The library is a
    folder that works on another machine, too.

    \b
    Examples:
      sightbook add library/ photos/
      sightbook add library/ photos/ --model model/
      sightbook add library/ photos/ --exclude drafts --dry-run
      sightbook add library/ photos/ --prune
      sightbook add library/ /new/disk/photos --moved-from /old/disk/photos
      sightbook add vectors-library/ embeddings.parquet --model vectors-model/
    """
    from sightbook.catalogue import create, folder
    from sightbook.catalogue.lock import waiting
    from sightbook.cli.output import answer
    from sightbook.cli.show import showing, tell
    from sightbook.library.library import Library

    what: dict[str, Any] = {
        "moved_from": moved_from, "retry": retry, "exclude": exclude or (), "forget_excludes": no_exclude,
        "prune": "all" if prune_all else prune,
    }  # fmt: skip
    if dry_run:
        if fine is not None and folder.exists(library):
            Library.open(library, fine=fine).close()  # refuses what `add` would refuse
        with showing() as listener:
            plan = Library.plan(library, source, **what, listener=listener)
        answer(plan, _plan_text(plan, prune=prune or prune_all), as_json=as_json)
        return
    if model is not None:
        _refuse_misfit(library, source, model)
    started = time.monotonic()
    with showing() as listener, waiting(wait, tell(listener)), ExitStack() as stack:
        model = model or create.model_left(library)
        first = model is None and not folder.exists(library)
        if first:
            from sightbook.cli.first import learning

            learned = stack.enter_context(
                learning(library, source, exclude=exclude or (), jobs=jobs, listener=listener)
            )
            first = learned is not None
            if learned is not None:
                model, what["seen"] = learned.folder, learned.seen
        opened = stack.enter_context(Library.open(library, create_with=model, fine=fine))
        report = opened.add(source, model=model, jobs=jobs, **what, listener=listener)
        if first:  # the pictures were read while the model was learned: that is what took its time
            report = _timed_anew(report, time.monotonic() - started)
        vectors = opened.model.takes_vectors
        advice = opened.status().advice if report.added and not as_json else None
    answer(report, _text(report, library, vectors, advice), as_json=as_json)
    _fail_where_none_read(report, library, vectors)


def _refuse_misfit(library: Path, source: list[str], model: Path) -> None:
    """ModelError for pictures where the model takes vectors, and the like; SourceError for a mistyped SOURCE, which
    leaves no empty library behind."""
    from sightbook.images.sources import open_sources
    from sightbook.ingest.refuse import refuse_misfit
    from sightbook.model.config import ModelConfig

    refuse_misfit(open_sources(source), ModelConfig.read(model), f"the model of {library}")


def _timed_anew(report: AddReport, seconds: float) -> AddReport:
    """The report of an `add` that took so long."""
    read = report.added + report.changed + len(report.failed)
    return replace(report, seconds=seconds, rate=read / seconds if read else 0.0)


def _text(report: AddReport, library: Path, vectors: bool, advice: str | None) -> str:
    """The report for people, with what to do next."""
    from sightbook.errors import typed
    from sightbook.images.entry import noun
    from sightbook.images.left_out import sentence
    from sightbook.words import counted

    large = sum("over the limit" in failure.reason for failure in report.failed)
    counts = [
        (report.added, "added"),
        (report.changed, "changed"),
        (report.unchanged, "unchanged"),
        (report.moved, "moved"),
        (report.missing, "missing"),
        (report.removed, "removed"),
        (_failed(report), "could not be read" + (f" ({large:,} over a limit of size)" if large else "")),
    ]
    shown = ", ".join(
        f"{count:,} {word}" for count, word in counts if count or word in ("added", "unchanged")
    )
    speed = f" ({report.rate:,.0f} {noun(vectors)}/s)" if report.rate else ""
    lines = [f"{shown}; took {report.seconds:,.1f} s{speed}"]
    if report.left_out:
        names = f"`sightbook status {typed(library)} --left-out` names them"
        lines.append(f"Left out: {sentence(report.left_out)}; {names}")
    if report.known_failures:
        files = counted(report.known_failures, "file")
        lines.append(f"{files} failed before and did not change: --retry tries again")
    if report.added:
        lines.append(f"Next: sightbook search {typed(library)} {'VECTOR.npy' if vectors else 'PICTURE'}")
    if advice:
        lines.append(f"Advice: {advice}")
    return "\n".join(lines)


def _failed(report: AddReport) -> int:
    """Pictures that could not be read, now or before."""
    return len(report.failed) + report.known_failures


def _fail_where_none_read(report: AddReport, library: Path, vectors: bool) -> None:
    """PartialFailure when there is not one good picture in the sources."""
    from sightbook.cli.guard import PartialFailure
    from sightbook.errors import typed
    from sightbook.images.entry import noun
    from sightbook.words import none_read

    if (failed := _failed(report)) and not report.added + report.changed + report.unchanged:
        raise PartialFailure(
            f"{none_read(failed, noun(vectors)[:-1])}: `sightbook status {typed(library)} "
            "--failures` lists the reasons"
        )


def _plan_text(plan: AddPlan, *, prune: bool) -> str:
    """The plan for people: what would happen to which pictures, the first of each kind by name."""
    from sightbook.images.left_out import sentence

    gone = "would be removed" if prune else "are missing and would be left out of searches"
    lines = []
    for names, what in (
        (plan.new, "new, would be added"),
        (plan.changed, "changed, would be read again"),
        ([f"{old} → {new}" for old, new in plan.moved], "moved, would keep their ids"),
        (plan.missing, gone),
    ):
        if names:
            lines.append(f"{len(names):,} {what}:")
            lines += [f"  {name}" for name in names[:_SHOWN]]
            if len(names) > _SHOWN:
                lines.append(f"  … and {len(names) - _SHOWN:,} more")
    lines.append(f"{plan.unchanged:,} unchanged")
    if plan.left_out:
        lines.append(f"left out: {sentence(plan.left_out)}")
    if plan.known_failures:
        lines.append(
            f"{plan.known_failures:,} could not be read before and would not be tried without --retry"
        )
    return "\n".join(lines)

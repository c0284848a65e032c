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
    from sightbook.ingest.report import AddPlan

_SHOWN = 20


def add(
    library: LibraryFolder,
    source: Sources,
    *,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            autocompletion=completion.model,
            help="The model that makes the codes of a new library.",
            show_default="learned from the pictures, over the built-in network",
        ),
    ] = None,
    fine: Annotated[
        bool | None,
        typer.Option(
            "--fine/--no-fine",
            help="Whether a new library keeps a fine code of each picture, for better first answers; when not given: "
            "if the model has them and the pictures are at most 1,000,000.",
            show_default=False,
        ),
    ] = None,
    jobs: Jobs = None,
    moved_from: Annotated[
        str | None,
        typer.Option(
            metavar="OLD",
            help="Where this SOURCE was when it was added; its pictures keep their ids.",
            show_default=False,
        ),
    ] = None,
    retry: Annotated[
        bool,
        typer.Option("--retry", help="Also try again what could not be read before.", show_default=False),
    ] = False,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            help="Leave out pictures or folders that fit, such as drafts or *.gif, now and later; may be repeated.",
            show_default=False,
        ),
    ] = None,
    no_exclude: Annotated[
        bool,
        typer.Option("--no-exclude", help="Forget what was excluded before.", show_default=False),
    ] = False,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Forget pictures that are gone from the SOURCE.", show_default=False),
    ] = False,
    prune_all: Annotated[
        bool,
        typer.Option(
            "--prune-all", help="The same, even when nothing of the SOURCE is left.", show_default=False
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what would be done, and do nothing.", show_default=False),
    ] = False,
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
    from sightbook.catalogue import folder
    from sightbook.catalogue.lock import waiting
    from sightbook.cli.guard import PartialFailure
    from sightbook.cli.output import emit, emit_json
    from sightbook.cli.show import showing, tell
    from sightbook.errors import typed
    from sightbook.images.entry import noun
    from sightbook.images.left_out import sentence
    from sightbook.images.sources import open_sources
    from sightbook.ingest.refuse import refuse_other_kind, refuse_other_length
    from sightbook.library.library import Library
    from sightbook.model.config import ModelConfig
    from sightbook.words import counted, none_read

    what: dict[str, Any] = {
        "moved_from": moved_from, "retry": retry, "exclude": exclude or (), "forget_excludes": no_exclude,
        "prune": "all" if prune_all else prune,
    }  # fmt: skip
    if dry_run:
        if fine is not None and folder.exists(library):
            Library.open(library, fine=fine).close()  # refuses what `add` would refuse
        with showing() as listener:
            plan = Library.plan(library, source, **what, listener=listener)
        if as_json:
            emit_json(plan)
        else:
            emit("\n".join(_told(plan, prune=prune or prune_all)))
        return
    if model is not None:
        # A mistyped SOURCE leaves no empty library behind.
        sources, config = open_sources(source), ModelConfig.read(model)
        refuse_other_kind(sources, config, library)
        refuse_other_length(sources, config, library)
    started = time.monotonic()
    with showing() as listener, waiting(wait, tell(listener)), ExitStack() as stack:
        first = model is None and not folder.exists(library)
        if first:
            from sightbook.cli.first import learning

            learned = stack.enter_context(
                learning(library, source, exclude=exclude or (), jobs=jobs, listener=listener)
            )
            model, what["seen"] = learned.folder, learned.seen
        opened = stack.enter_context(Library.open(library, create_with=model, fine=fine))
        report = opened.add(source, model=model, jobs=jobs, **what, listener=listener)
        if first:  # the pictures were read while the model was learned: that is what took its time
            seconds = time.monotonic() - started
            read = report.added + report.changed + len(report.failed)
            report = replace(report, seconds=seconds, rate=read / seconds if read else 0.0)
        vectors = opened.model.takes_vectors
        advice = opened.status().advice if report.added and not as_json else None
    good = report.added + report.changed + report.unchanged
    failed = len(report.failed) + report.known_failures
    if as_json:
        emit_json(report)
    else:
        large = sum("over the limit" in failure.reason for failure in report.failed)
        counts = [
            (report.added, "added"),
            (report.changed, "changed"),
            (report.unchanged, "unchanged"),
            (report.moved, "moved"),
            (report.missing, "missing"),
            (report.removed, "removed"),
            (failed, "could not be read" + (f" ({large:,} over a limit of size)" if large else "")),
        ]
        shown = ", ".join(
            f"{count:,} {word}" for count, word in counts if count or word in ("added", "unchanged")
        )
        speed = f" ({report.rate:,.0f} {noun(vectors)}/s)" if report.rate else ""
        emit(f"{shown}; took {report.seconds:,.1f} s{speed}")
        if report.left_out:
            names = f"`sightbook status {typed(library)} --left-out` names them"
            emit(f"Left out: {sentence(report.left_out)}; {names}")
        if report.known_failures:
            files = counted(report.known_failures, "file")
            emit(f"{files} failed before and did not change: --retry tries again")
        if report.added:
            query = "VECTOR.npy" if vectors else "PICTURE"
            emit(f"Next: sightbook search {typed(library)} {query}")
        if advice:
            emit(f"Advice: {advice}")
    if failed and not good:
        raise PartialFailure(
            f"{none_read(failed, noun(vectors)[:-1])}: `sightbook status {typed(library)} "
            "--failures` lists the reasons"
        )


def _told(plan: AddPlan, *, prune: bool) -> list[str]:
    """The plan in lines: what would happen to which pictures, the first of each kind by name."""
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
    return lines

"""`sightbook add`: make a library of pictures, or bring one up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sightbook.cli.options import Jobs, Json, LibraryFolder, Sources


def add(
    library: LibraryFolder,
    source: Sources,
    *,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="The model that makes the codes; needed for a new library.",
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
    as_json: Json = False,
) -> None:
    """Add pictures to a library; makes the library on first use.

    Run it again whenever pictures were added or changed: only those are read. A picture that cannot be read is named
    and skipped. The library is a folder that works on another machine, too.

    \b
    Examples:
      sightbook add library/ photos/ --model model/
      sightbook add library/ photos/
      sightbook add library/ /new/disk/photos --moved-from /old/disk/photos
    """
    from sightbook.cli.guard import PartialFailure
    from sightbook.cli.output import emit, emit_json
    from sightbook.cli.show import showing
    from sightbook.images.sources import open_sources
    from sightbook.library.library import Library

    if model is not None:
        open_sources(source)  # a mistyped SOURCE leaves no empty library behind
    with showing() as listener, Library.open(library, create_with=model) as opened:
        report = opened.add(
            source, model=model, jobs=jobs, moved_from=moved_from, retry=retry, listener=listener
        )
    good = report.added + report.changed + report.unchanged
    failed = len(report.failed) + report.known_failures
    if as_json:
        emit_json(report)
    else:
        counts = [
            (report.added, "added"),
            (report.changed, "changed"),
            (report.unchanged, "unchanged"),
            (report.missing, "missing"),
            (failed, "could not be read"),
        ]
        shown = ", ".join(
            f"{count:,} {word}" for count, word in counts if count or word in ("added", "unchanged")
        )
        speed = f" ({report.rate:,.0f} pictures/s)" if report.rate else ""
        emit(f"{shown}; took {report.seconds:,.1f} s{speed}")
        if report.added:
            emit(f"Next: sightbook search {library} PICTURE")
    if failed and not good:
        raise PartialFailure(
            f"none of the {failed} pictures could be read: `sightbook status {library} --failures` lists the reasons"
        )

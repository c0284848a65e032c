"""`sightbook search`: what looks like this picture?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightbook.cli.options import Json, LibraryFolder

if TYPE_CHECKING:
    from sightbook.library.results import Hit


def search(
    library: LibraryFolder,
    image: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE...", help="The picture files to ask with.", show_default=False),
    ],
    *,
    k: Annotated[int, typer.Option("-k", min=1, metavar="K", help="Answers per picture.")] = 10,
    scan_bits: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Scan the first N bits of each code only, then score the best by all: for models with nested codes.",
            show_default=False,
        ),
    ] = None,
    no_fine: Annotated[
        bool,
        typer.Option(
            "--no-fine",
            help="Search by the short codes alone, where there are fine codes.",
            show_default=False,
        ),
    ] = False,
    as_json: Json = False,
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write query and answers as one picture (.png or .jpg).",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Find the pictures that look most like yours, best first.

    A score of 1 is the most alike, 0 is unrelated. Several pictures are several searches.

    \b
    Examples:
      sightbook search library/ photo.jpg
      sightbook search library/ one.jpg two.jpg -k 20 --sheet answers.png
      sightbook search library/ photo.jpg --json
    """
    from sightbook.cli.guard import PartialFailure
    from sightbook.cli.output import columns, emit, emit_json, note
    from sightbook.errors import PictureError
    from sightbook.library.library import Library

    if sheet is not None:
        from sightbook.search.sheet import check_name

        check_name(sheet)
    asked: list[str] = []
    bad: list[dict[str, str]] = []
    hits: list[list[Hit]] = []
    with Library.open(library) as opened:
        for query in image:
            try:
                found = opened.search(query, k=k, scan_bits=scan_bits, fine=False if no_fine else None)
            except PictureError as error:
                bad.append({"query": query, "reason": str(error)})
                note(f"{query} is skipped: {error}")
                continue
            hits.append([replace(hit, query=len(asked)) for hit in found])
            asked.append(query)
    if sheet is not None and asked:
        from sightbook.search.sheet import sheet as draw_sheet

        draw_sheet(asked, [hit for found in hits for hit in found], sheet)
    if as_json:
        queries = [{"query": query, "hits": found} for query, found in zip(asked, hits, strict=True)]
        emit_json(
            {"library": library, "k": k, "queries": queries, "failed": bad, "sheet": sheet if asked else None}
        )
    else:
        for number, (query, found) in enumerate(zip(asked, hits, strict=True)):
            emit(("\n" if number else "") + query)
            rows = [(str(hit.rank), f"{hit.score:.3f}", hit.locator) for hit in found]
            emit(columns(rows, indent="  ", right=(0, 1)) or "  nothing found: the library is empty")
        if sheet is not None and asked:
            emit(f"\nSheet: {sheet}")
    if not asked:
        raise PartialFailure("none of the pictures to search with could be read")

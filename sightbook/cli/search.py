"""`sightbook search`: what looks like this picture?"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightbook.cli.options import Json, LibraryFolder

if TYPE_CHECKING:
    from sightbook.library.library import Library
    from sightbook.search.hit import Hit


def search(
    library: LibraryFolder,
    image: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="The picture files to ask with; in a library of vectors .npy files.",
            show_default=False,
        ),
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

    A score of 1 is as good as it gets: the same picture has it. 0 is the average picture of the library, below 0 is
    less alike than that. Several pictures are several searches. A library of vectors is asked with .npy files of one
    vector (F,) or several (Q, F), each of them a search.

    \b
    Examples:
      sightbook search library/ photo.jpg
      sightbook search library/ one.jpg two.jpg -k 20 --sheet answers.png
      sightbook search library/ photo.jpg --json
      sightbook search vectors-library/ query.npy
    """
    from sightbook.cli.guard import PartialFailure
    from sightbook.cli.output import emit, emit_json, note
    from sightbook.errors import ConfigError, PictureError, SourceError
    from sightbook.images.entry import noun
    from sightbook.images.names import escape, existing
    from sightbook.library.library import Library
    from sightbook.words import columns

    if sheet is not None:
        from sightbook.present.sheet import check_name

        check_name(sheet)
    asked: list[str] = []
    bad: list[dict[str, str]] = []
    hits: list[list[Hit]] = []
    with Library.open(library) as opened:
        vectors = _check_kind(opened, [existing(query) or query for query in image], sheet)
        for query in image:
            try:
                if vectors:
                    names, found = _search_vectors(
                        opened, existing(query) or query, k, scan_bits, False if no_fine else None
                    )
                else:
                    names = [query]
                    found = opened.search(query, k=k, scan_bits=scan_bits, fine=False if no_fine else None)
            except (PictureError, ConfigError, SourceError) as error:
                if not (vectors or isinstance(error, PictureError)):
                    raise
                bad.append({"query": query, "reason": str(error)})
                note(f"{escape(query)} is skipped: {error}")
                continue
            answers: list[list[Hit]] = [[] for _ in names]
            for hit in found:
                answers[hit.query].append(replace(hit, query=len(asked) + hit.query))
            hits += answers
            asked += names
    if sheet is not None and asked:
        from sightbook.present.sheet import sheet as draw_sheet

        draw_sheet(
            [existing(query) or query for query in asked], [hit for found in hits for hit in found], sheet
        )
    if as_json:
        queries = [
            {"query": query, "hits": [{**asdict(hit), "uri": hit.uri} for hit in found]}
            for query, found in zip(asked, hits, strict=True)
        ]
        emit_json(
            {"library": library, "k": k, "queries": queries, "failed": bad, "sheet": sheet if asked else None}
        )
    else:
        for number, (query, found) in enumerate(zip(asked, hits, strict=True)):
            emit(("\n" if number else "") + escape(query))
            rows = [(str(hit.rank), f"{hit.score:z.3f}", hit.locator) for hit in found]
            emit(columns(rows, indent="  ", right=(0, 1)) or "  nothing found: the library is empty")
        if sheet is not None and asked:
            emit(f"\nSheet: {sheet}")
    if not asked:
        raise PartialFailure(f"none of the {noun(vectors)} to search with could be read")


def _check_kind(library: Library, queries: list[str], sheet: Path | None) -> bool:
    """Whether the library is one of vectors. ModelError when it is asked with the other kind of thing."""
    from sightbook.errors import ConfigError, ModelError
    from sightbook.images.kinds.npy import is_npy

    vectors = library.model.takes_vectors
    if vectors and sheet is not None:
        raise ConfigError("vectors have no pictures to draw: leave --sheet out")
    for query in queries:
        if vectors and not is_npy(query):
            raise ModelError(
                f"{library.path} holds vectors of {library.model.config.features} numbers, and {query} is no .npy "
                "file: ask with one that numpy.save wrote"
            )
        if not vectors and is_npy(query):
            raise ModelError(f"{library.path} holds pictures, and {query} a vector: ask with a picture file")
    return vectors


def _search_vectors(
    library: Library, path: str, k: int, scan_bits: int | None, fine: bool | None
) -> tuple[list[str], list[Hit]]:
    """One search for each vector of a file: what the queries are called, and all their hits."""
    from sightbook.images.kinds.npy import read_query

    rows = read_query(path)
    names = [path] if len(rows) == 1 else [f"{path} row {row}" for row in range(len(rows))]
    return names, library.search_vectors(rows, k, scan_bits=scan_bits, fine=fine)

"""`sightbook search`: what looks like this picture?"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sightbook.cli.options import Json, LibraryFolder

if TYPE_CHECKING:
    from sightbook.library.library import Library
    from sightbook.search.hit import Hit


Queries = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGE...", help="The picture files to ask with; in a library of vectors .npy files."
    ),
]
Count = Annotated[int, typer.Option("-k", min=1, metavar="K", help="Answers per picture.")]
ScanBits = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Scan the first N bits of each code only, then score the best by all: for models with nested codes.",
    ),
]
NoFine = Annotated[
    bool,
    typer.Option(
        "--no-fine", help="Search by the short codes alone, where there are fine codes.", show_default=False
    ),
]
Sheet = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Also write query and answers as one picture (.png or .jpg)."),
]


@dataclass
class Searches:
    """The queries that could be asked, with their hits, and those that could not, with the reason."""

    asked: list[str] = field(default_factory=list)
    hits: list[list[Hit]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)

    def add(self, names: list[str], found: list[Hit]) -> None:
        """Queries of one search, whose hits tell by number whose they are."""
        before = len(self.asked)
        self.asked += names
        self.hits += [[] for _ in names]
        for hit in found:
            self.hits[before + hit.query].append(replace(hit, query=before + hit.query))

    def to_json(self) -> list[dict[str, Any]]:
        """Each query with its hits."""
        return [
            {"query": query, "hits": [{**asdict(hit), "uri": hit.uri} for hit in found]}
            for query, found in zip(self.asked, self.hits, strict=True)
        ]

    def text(self) -> str:
        """Each query with its hits, a line each."""
        from sightbook.images.names import escape
        from sightbook.words import columns

        parts = []
        for query, found in zip(self.asked, self.hits, strict=True):
            rows = [(str(hit.rank), f"{hit.score:z.3f}", hit.locator) for hit in found]
            lines = columns(rows, indent="  ", right=(0, 1)) or "  nothing found: the library is empty"
            parts.append(f"{escape(query)}\n{lines}")
        return "\n\n".join(parts)


def search(
    library: LibraryFolder,
    image: Queries,
    *,
    k: Count = 10,
    scan_bits: ScanBits = None,
    no_fine: NoFine = False,
    as_json: Json = False,
    sheet: Sheet = None,
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
    from sightbook.cli.guard import PartialFailure, beside
    from sightbook.cli.output import emit, emit_json
    from sightbook.images.entry import noun
    from sightbook.library.library import Library

    if sheet is not None:
        from sightbook.present.sheet import check_name

        check_name(sheet)
    with Library.open(library) as opened:
        vectors = _check_kind(opened, [_file(query) for query in image], sheet)
        found = _ask(opened, image, {"k": k, "scan_bits": scan_bits, "fine": False if no_fine else None})
    drawn = failure = None
    if sheet is not None and found.asked:
        from sightbook.present.sheet import sheet as draw_sheet

        drawn, failure = beside(draw_sheet, [_file(query) for query in found.asked], found.hits, sheet)
    if as_json:
        queries = found.to_json()
        emit_json({"library": library, "k": k, "queries": queries, "failed": found.failed, "sheet": drawn})
    elif found.asked:
        emit(found.text() + (f"\n\nSheet: {drawn}" if drawn is not None else ""))
    if failure is not None:
        raise failure
    if not found.asked:
        raise PartialFailure(f"none of the {noun(vectors)} to search with could be read")


def _file(query: str) -> str:
    """The file that a query names, however its name is written."""
    from sightbook.images.names import existing

    return existing(query) or query


def _ask(library: Library, queries: list[str], how: dict[str, Any]) -> Searches:
    """Searches with each query, `how` as the library takes it; one that cannot be read is said and passed over."""
    from sightbook.cli.output import note
    from sightbook.errors import ConfigError, PictureError, SourceError
    from sightbook.images.names import escape

    answers = Searches()
    vectors = library.model.takes_vectors
    for query in queries:
        try:
            if vectors:
                answers.add(*_search_vectors(library, _file(query), how))
            else:
                answers.add([query], library.search(query, **how))
        except (PictureError, ConfigError, SourceError) as error:
            if not (vectors or isinstance(error, PictureError)):
                raise
            answers.failed.append({"query": query, "reason": str(error)})
            note(f"{escape(query)} is skipped: {error}")
    return answers


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


def _search_vectors(library: Library, path: str, how: dict[str, Any]) -> tuple[list[str], list[Hit]]:
    """One search for each vector of a file: what the queries are called, and all their hits."""
    from sightbook.images.kinds.npy import read_query

    rows = read_query(path)
    names = [path] if len(rows) == 1 else [f"{path} row {row}" for row in range(len(rows))]
    return names, library.search_vectors(rows, **how)

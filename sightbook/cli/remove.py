"""`sightbook remove`: take pictures out of a library."""

from __future__ import annotations

from typing import Annotated

import typer

from sightbook.cli.options import Json, LibraryFolder, Wait


def remove(
    library: LibraryFolder,
    key: Annotated[
        list[str],
        typer.Argument(
            metavar="KEY|PATTERN...",
            help="Paths as the library or the shell has them, folders, sources, or quoted patterns.",
        ),
    ],
    *,
    wait: Wait = 0,
    as_json: Json = False,
) -> None:
    """Take pictures out of a library. The picture files themselves are never touched.

    Quote patterns, so that the shell leaves them alone. A removed picture that is still in its folder comes back with
    the next `sightbook add` of that folder.

    \b
    Examples:
      sightbook remove library/ holiday/img_0001.jpg
      sightbook remove library/ "holiday/*"
    """
    from sightbook.catalogue.lock import waiting
    from sightbook.cli.output import answer, note
    from sightbook.library.library import Library

    with waiting(wait, note), Library.open(library) as opened:
        removed = opened.remove(key)
    document = {"library": str(library), "removed": removed}
    answer(document, f"{removed:,} removed from {library}", as_json=as_json)

"""`sightbook check` and `sightbook compact`: the care of a library."""

from __future__ import annotations

from typing import Annotated

import typer

from sightbook.cli.options import Json, LibraryFolder, Wait
from sightbook.words import counted


def check(
    library: LibraryFolder,
    *,
    salvage: Annotated[
        bool, typer.Option("--salvage", help="Save what can be read of a damaged catalogue into a new one.")
    ] = False,
    wait: Wait = 0,
    as_json: Json = False,
) -> None:
    """Verify a library, and repair what can be derived.

    Looks at the model, the catalogue, the cache and the sources. The cache is made anew when it is damaged; pictures
    that changed since the last add are named. A damaged catalogue is said, with what can be done.

    \b
    Examples:
      sightbook check library/
      sightbook check library/ --salvage
    """
    from sightbook.catalogue.lock import waiting
    from sightbook.cli.guard import PartialFailure
    from sightbook.cli.output import answer, emit, note
    from sightbook.errors import typed
    from sightbook.library.care.check import check as look
    from sightbook.library.care.salvage import salvage as save
    from sightbook.words import columns

    if salvage:
        with waiting(wait, note):
            pictures, failures = save(library)
        if not as_json:
            emit(
                f"{counted(pictures, 'picture')} and {counted(failures, 'failure')} saved; run "
                f"`sightbook add {typed(library)} SOURCE` now"
            )
    with waiting(wait, note):
        found = look(library)
    answer(found, columns([(each.verdict, each.what, each.text) for each in found]), as_json=as_json)
    broken = [each for each in found if each.verdict == "broken"]
    if broken:
        raise PartialFailure(f"{library} is not sound: {broken[0].text}")


def compact(library: LibraryFolder, *, wait: Wait = 0, as_json: Json = False) -> None:
    """Give back the space of removed pictures.

    Rewrites the catalogue; ids stay, searches go on meanwhile.

    \b
    Example:
      sightbook compact library/
    """
    from sightbook.catalogue.lock import waiting
    from sightbook.cli.output import answer, note
    from sightbook.library.care.compact import compact as rewrite

    with waiting(wait, note):
        before, after = rewrite(library)
    text = f"{before / 1e6:,.2f} MB before, {after / 1e6:,.2f} MB now"
    answer({"before": before, "after": after}, text, as_json=as_json)

"""`sightbook migrate`: another model for a library."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sightbook.cli.options import Jobs, Json, LibraryFolder


def migrate(
    library: LibraryFolder,
    *,
    model: Annotated[
        Path, typer.Option(metavar="NEW", help="The model that makes the new codes.", show_default=False)
    ],
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Give a library another model.

    Every picture or vector is read again from its source. Searches go on with the old codes meanwhile and find the new
    ones from the moment all are there; ids stay. A migration that was stopped goes on with the same command.

    \b
    Example:
      sightbook migrate library/ --model better-model/
    """
    from sightbook.cli.output import emit, emit_json
    from sightbook.cli.show import showing
    from sightbook.images.entry import noun
    from sightbook.library.migrate import migrate as change
    from sightbook.model.model import Model

    with showing() as listener:
        new = Model.open(model)
        report = change(library, new, jobs=jobs, listener=listener)
    if as_json:
        emit_json(report)
        return
    counts = ((report.missing, "missing"), (report.failed, "could not be read"))
    rest = "".join(f", {count:,} {word}" for count, word in counts if count)
    what = noun(new.takes_vectors)
    emit(f"{report.encoded:,} {what} have codes of {model} now{rest}; took {report.seconds:,.1f} s")

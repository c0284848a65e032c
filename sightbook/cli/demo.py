"""`sightbook demo`: the whole path in about two minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sightbook.cli.options import Json, named


def demo(
    data: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE", help="Your own pictures instead of drawn ones: a folder, .tar or .parquet."
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            metavar="T",
            help="Train for this long, not for a fixed amount of work.",
            show_default="fixed; own pictures that are learned from scratch: 1",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            parser=named,
            help="The folder to write; must be new or empty.",
            show_default="sightbook-demo, then sightbook-demo-2 ...",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """See it work, in about two minutes and without network.

    Draws 6,600 small pictures of twelve kinds, learns from them without being told the kinds, and shows how much
    better it then finds pictures of the same kind; the built-in network stands beside. Ends with a sheet of queries
    and answers. With --data: your own pictures, learned from as `train` would.

    \b
    Examples:
      sightbook demo
      sightbook demo --data photos/
    """
    from sightbook.cli.output import answer
    from sightbook.cli.show import showing
    from sightbook.demo.run import run

    with showing() as listener:
        report = run(out, data=data, minutes=minutes, listener=listener)
    answer(report.to_json(), report.text(), as_json=as_json)

"""The program `sightbook`: its verbs, its version, its help. Heavy packages are imported by the verbs when they run."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from sightbook import __version__
from sightbook.allocator import own_process
from sightbook.cli.add import add
from sightbook.cli.benchmark import benchmark
from sightbook.cli.check import check, compact
from sightbook.cli.demo import demo
from sightbook.cli.doctor import doctor
from sightbook.cli.evaluate import evaluate
from sightbook.cli.export import export
from sightbook.cli.guard import guarded
from sightbook.cli.migrate import migrate
from sightbook.cli.remove import remove
from sightbook.cli.search import search
from sightbook.cli.status import status
from sightbook.cli.train import train

# Plain help: half the start-up time of typer's boxes, and it can be copied from.
app = typer.Typer(
    name="sightbook",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sightbook {__version__}")
        raise typer.Exit()


@app.callback()
def sightbook(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Finds similar pictures in your own collection, and learns how from the collection itself, without one label.

    \b
    Try it:           sightbook demo
    Learn a model:    sightbook train photos/ --out model/
    Keep a library:   sightbook add library/ photos/ --model model/
    Ask it:           sightbook search library/ photo.jpg

    A SOURCE is a folder of pictures (any depth), a .tar of pictures, a .parquet with an image column, a single
    picture, or a quoted pattern of those ("shards/*.tar"). Or it holds vectors of your own: a .npy, or a .parquet with
    a column of them.
    """


for _verb in (
    demo,
    train,
    add,
    search,
    status,
    remove,
    check,
    compact,
    migrate,
    export,
    evaluate,
    benchmark,
    doctor,
):
    app.command(_verb.__name__)(guarded(_verb))


def main() -> None:
    """Runs the program; never returns."""
    _open_standard_streams()
    own_process()
    app()


def _open_standard_streams() -> None:
    """Gives standard streams that are closed a place that leads nowhere. Else the next file that is opened would get
    their number, a library's catalogue perhaps, and what is printed would go into it."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free is this one, as those below it are open by now.
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))

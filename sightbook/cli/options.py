"""Options that several verbs share, worded once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sightbook.cli import completion


def named(text: str) -> Path:
    """A path that was typed; an empty one, as of a variable that is not set, is not the current folder."""
    if not text:
        raise typer.BadParameter("it is an empty name: name a file or folder (. is the current one)")
    return Path(text)


Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help='Pictures: a folder (any depth), a .tar, a .parquet, a picture, or a quoted pattern like "shards/*.tar"; '
        "or vectors: a .npy or a .parquet.",
    ),
]
ModelFolder = Annotated[
    Path,
    typer.Argument(
        parser=named,
        metavar="MODEL",
        help="A model folder, as `sightbook train` writes it.",
        autocompletion=completion.model,
    ),
]
LibraryFolder = Annotated[
    Path,
    typer.Argument(
        parser=named,
        metavar="LIBRARY",
        help="A library folder, as `sightbook add` makes it.",
        autocompletion=completion.folders,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Wait = Annotated[
    float,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="Wait so long for another program that writes the library.",
        show_default=False,
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Processes that read pictures.", show_default="one per core"),
]


def names_for(verb: str, complete: completion.Complete, otherwise: str = "NAME") -> str:
    """The names that an option of `verb` takes, for its help. Finding them costs time, so only that help does."""
    if verb not in sys.argv or not {"--help", "-h"} & set(sys.argv):
        return otherwise
    return "|".join(complete(""))

"""`sightbook export`: a model or a library for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sightbook.cli import completion
from sightbook.cli.options import Jobs, Json, named
from sightbook.words import counted


def export(
    source: Annotated[
        Path, typer.Argument(metavar="MODEL|LIBRARY", parser=named, help="What is to be exported.")
    ],
    *,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="onnx|faiss|parquet|embeddings",
            autocompletion=completion.one_of("onnx", "faiss", "parquet", "embeddings"),
            help="Of a MODEL its encoder; of a LIBRARY a plain faiss index, codes and keys, or embeddings.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="PATH", parser=named, help="The file to write; must be new.")],
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Write a model or a library for other programs.

    The faiss index opens without sightbook and gives the same answers; embeddings go into any vector database.

    \b
    Examples:
      sightbook export model/ --format onnx --out encoder.onnx
      sightbook export library/ --format faiss --out photos.faiss
      sightbook export library/ --format parquet --out codes.parquet
    """
    from sightbook.cli.output import answer
    from sightbook.cli.show import showing
    from sightbook.errors import ConfigError
    from sightbook.images.entry import noun
    from sightbook.library import export as exporting
    from sightbook.library.library import Library
    from sightbook.model.model import Model

    if out.exists():
        raise ConfigError(f"{out} is there already: give another --out, nothing is overwritten")
    if format_ == "onnx":
        exporting.model_to_onnx(Model.open(source), out)
        answer({"file": str(out)}, f"{out}: pixels in, embeddings out", as_json=as_json)
        return
    if format_ not in ("faiss", "parquet", "embeddings"):
        raise ConfigError(f"--format {format_} is unknown: choose onnx, faiss, parquet or embeddings")
    with showing() as listener, Library.open(source) as library:
        if format_ == "faiss":
            count = exporting.to_faiss(library, out)
        elif format_ == "parquet":
            count = exporting.to_parquet(library, out)
        else:
            count = exporting.embeddings_to_parquet(library, out, jobs=jobs, listener=listener)
        what = noun(library.model.takes_vectors)
    answer({"file": str(out), what: count}, f"{out}: {counted(count, what[:-1])}", as_json=as_json)

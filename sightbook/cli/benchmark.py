"""`sightbook benchmark`: make a declared experiment, or go on with it, and redraw the page of results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sightbook.cli.options import Json, named


def benchmark(
    plan: Annotated[Path, typer.Argument(metavar="FILE.yaml", parser=named, help="The declared experiment.")],
    *,
    results: Annotated[
        Path, typer.Option(metavar="FOLDER", parser=named, help="Where NAME.json of each experiment lies.")
    ] = Path("results"),
    page: Annotated[
        Path, typer.Option(metavar="FILE.md", parser=named, help="The page that is drawn from all results.")
    ] = Path("docs/results.md"),
    work: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER", parser=named, help="Where the models are kept; a stopped call goes on there."
        ),
    ] = Path("runs"),
    cell: Annotated[
        str | None, typer.Option(metavar="NAME", help="Make this line of the table only.")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="N", help="Try the experiment with this budget for every run instead of its own."
        ),
    ] = None,
    wait: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="Wait so long for another call of the same experiment."),
    ] = 0,
    as_json: Json = False,
) -> None:
    """Make a declared experiment and draw its results.

    Trains and judges every run that the file names, with its seeds, and writes figures, tables and plots. What is
    finished is not made again; Ctrl-C loses little, the same command goes on. See docs/benchmark.md for the file.

    \b
    Examples:
      sightbook benchmark benchmarks/plans/cifar10-cpu.yaml
      sightbook benchmark my-plan.yaml --results out --page out/results.md
    """
    from sightbook.benchmark.run import benchmark as measure
    from sightbook.catalogue.lock import waiting
    from sightbook.cli.guard import PartialFailure
    from sightbook.cli.output import answer
    from sightbook.cli.show import showing, tell
    from sightbook.words import counted, verb

    with showing() as listener, waiting(wait, tell(listener)):
        summary = measure(
            plan, results=results, page=page, work=work, only=cell, epochs=epochs, listener=listener
        )
    text = (
        f"{counted(len(summary.ran), 'run')} made, {len(summary.kept)} {verb(len(summary.kept), 'were')} there "
        "already.\n"
        f"Results: {summary.results}\n"
        f"Look at: {summary.page}"
    )
    answer(summary.to_json(), text, as_json=as_json)
    if summary.failed:
        name, reason = summary.failed[0]
        raise PartialFailure(f"{counted(len(summary.failed), 'run')} failed, such as {name}: {reason}")

"""`sightbook evaluate`: how good are a model's answers?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sightbook.cli import completion
from sightbook.cli.options import Jobs, Json, ModelFolder, named, names_for

Protocol = Annotated[
    str,
    typer.Option(
        metavar=names_for("evaluate", completion.protocol),
        autocompletion=completion.protocol,
        help="What is asked, searched and counted.",
    ),
]
Data = Annotated[
    str,
    typer.Option(
        metavar="PATH", help="Pictures or vectors, with labels or with --labels.", show_default=False
    ),
]
Labels = Annotated[
    Path | None, typer.Option(metavar="CSV", parser=named, help="Labels of the pictures, by file.")
]
LabelColumn = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The column of the labels, in the data or the CSV.",
        show_default="label, else labels",
    ),
]
Against = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="MODEL0",
        parser=named,
        autocompletion=completion.model,
        help="Another model to stand beside it, say an untrained one; may be repeated.",
    ),
]
Junk = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Leave out answers that share this column of the CSV with the query (the same series, say).",
    ),
]
Cut = Annotated[
    int | None,
    typer.Option("-R", min=1, metavar="N", help="Answers counted per query.", show_default="by the protocol"),
]
Baselines = Annotated[
    list[str] | None,
    typer.Option(
        metavar=names_for("evaluate", completion.baseline),
        autocompletion=completion.baseline,
        help="A ranking to stand beside the model's; repeatable.",
        show_default="float, thumbnail, random",
    ),
]
Definition = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        autocompletion=completion.definition,
        help="Average precision: hits-in-top-R, relevant-with-cutoff, trapezoid or full-ranking.",
    ),
]
Validation = Annotated[
    bool,
    typer.Option(
        "--validation",
        help="Judge on a cut of the training pictures, to choose settings by: the queries stay unseen.",
    ),
]
Plots = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        parser=named,
        help="Draw into this folder: precision by rank and by recall, use of codewords, answers to look at.",
    ),
]


def evaluate(
    model: ModelFolder,
    *,
    protocol: Protocol,
    data: Data,
    labels: Labels = None,
    label_column: LabelColumn = None,
    against: Against = None,
    junk: Junk = None,
    R: Cut = None,
    baseline: Baselines = None,
    ap_definition: Definition = "hits-in-top-R",
    validation: Validation = False,
    plots: Plots = None,
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Measure how good a model's answers are.

    Counts how often they share the query's label (mean average precision). Labels are used here and nowhere else. Two
    baselines without labels stand beside the model: exact search on its float embedding, and small colour thumbnails
    at as many bits.

    \b
    Examples:
      sightbook evaluate model/ --protocol labelled --data photos/ --labels labels.csv
      sightbook evaluate model/ --protocol cifar10-I --data cifar10/ --against untrained/ --plots plots/
    """
    from sightbook.cli.guard import beside
    from sightbook.cli.output import answer
    from sightbook.cli.show import showing
    from sightbook.evaluate.plots import check, draw
    from sightbook.evaluate.run import evaluate as measure

    if plots is not None:
        check(plots)
    with showing() as listener:
        report = measure(
            model,
            protocol,
            data,
            labels=labels,
            against=against or (),
            R=R,
            junk=junk,
            label_column=label_column,
            ap_definition=ap_definition,
            **({"baselines": baseline} if baseline else {}),
            validation=validation,
            jobs=jobs,
            details=plots is not None,
            listener=listener,
        )
        drawn, failure = (None, None) if plots is None else beside(draw, report, plots)
    look = "\nLook at: " + ", ".join(map(str, drawn)) if drawn else ""
    answer(report.to_json(), report.text().rstrip() + look, as_json=as_json)
    if failure is not None:
        raise failure

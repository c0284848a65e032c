"""The tables of figures: every cell at every length of code, and all that was measured at the longest."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sightbook.benchmark.results import Results
from sightbook.benchmark.tracking import criteria
from sightbook.errors import ConfigError
from sightbook.evaluate.baselines import USUAL
from sightbook.evaluate.report import baseline_title

MISSING = "–"
# Figures without labels, and how the page calls them: of learning by steps, and of learning in closed form.
JUDGED = {"recall_at_1": "view recall@1", "perplexity": "perplexity", "agreement": "agreement of halves"}


def mean(values: Sequence[float]) -> str:
    """Mean ± standard deviation over seeds, and how many there are."""
    if not values:
        return MISSING
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f} ({len(values)})"


def known(values: Iterable[float | None]) -> list[float]:
    """Those that are there."""
    return [value for value in values if value is not None]


def _plain(values: Iterable[float | None], digits: int) -> str:
    """Their mean, a dash where there is none."""
    there = known(values)
    return f"{statistics.mean(there):.{digits}f}" if there else MISSING


def one_table(runs: Sequence[dict[str, Any]]) -> None:
    """ConfigError when runs were judged by different protocols or definitions: no table may hold both."""
    for key in ("protocol", "ap_definition", "R"):
        values = {run[key] for run in runs}
        if len(values) > 1:
            raise ConfigError(
                f"results of different {key} ({', '.join(map(str, sorted(values)))}) cannot stand in one table: "
                "give each its own plan"
            )


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, text: int = 1) -> list[str]:
    """Markdown; the first `text` columns are words, the others numbers."""
    rule = ["---"] * text + ["---:"] * (len(header) - text)
    return [f"| {' | '.join(cells)} |" for cells in (header, rule, *rows)] + [""]


def _lengths(found: Results) -> list[int]:
    return sorted(
        {run["bits"] for run in found.runs.values()}
        | {one["bits"] for run in found.runs.values() for one in run["nested"]}
    )


def by_bits(found: Results, score: str) -> list[str]:
    lengths = _lengths(found)
    rows = []
    for cell in found.cells():
        runs = found.found(cell)
        told = runs[0] if runs else None
        facts = (
            [told["method"], told["backbone"], told["pretraining"], told["selection"], _budget(told)]
            if told
            else [_declared(found, cell), *[MISSING] * 4]
        )
        rows.append([cell, *facts, *(mean([r["map"] for r in found.found(cell, bits)]) for bits in lengths)])
        whole = sorted({run["bits"] for run in runs if run["nested"]})
        for longest in whole:  # models of different lengths are no seeds of each other
            parts = [one for run in runs if run["bits"] == longest for one in run["nested"]]
            cells = [mean([one["map"] for one in parts if one["bits"] == bits]) for bits in lengths]
            of = f" of {longest}" if len(whole) > 1 else ""
            rows.append([f"{cell}, its first bits{of}", *facts, *cells])
        finer = [run for run in runs if run.get("fine")]
        if finer:
            cells = [mean([run["fine"]["map"] for run in finer if run["bits"] == bits]) for bits in lengths]
            more = {run["fine"]["bits"] - run["bits"] for run in finer}
            told_more = " or ".join(f"{count:,}" for count in sorted(more))
            rows.append([f"{cell}, with fine code ({told_more} bits more)", *facts, *cells])
    for title, facts, values in baselines(found, lengths):
        rows.append([title, *facts, *values])
    header = ["", "method", "backbone", "pretraining", "selection", "budget"]
    return table([*header, *(f"{score}, {bits} bits" for bits in lengths)], rows, text=6)


def baselines(found: Results, lengths: Sequence[int]) -> Iterator[tuple[str, list[str], list[str]]]:
    """(title, facts, mean by length) of every baseline but `float`, whose place is beside each cell: of the features of
    each backbone once, where they are the same in all cells, else of each cell's own."""
    runs = list(found.runs.values())
    for name in dict.fromkeys(name for run in runs for name in run["baselines"]):
        if name in USUAL:
            continue
        for facts in dict.fromkeys((run["backbone"], run["pretraining"]) for run in runs):
            alike = [
                run
                for run in runs
                if (run["backbone"], run["pretraining"]) == facts and name in run["baselines"]
            ]
            cells = list(dict.fromkeys(run["cell"] for run in alike))
            shared = all(len(set(_baseline(alike, name, bits))) < 2 for bits in lengths)
            for cell in cells[:1] if shared else cells:
                of = [run for run in alike if run["cell"] == cell]
                values = (
                    [_plain(_baseline(alike, name, bits), 3) for bits in lengths]
                    if shared
                    else [mean(_baseline(of, name, bits)) for bits in lengths]
                )
                title = baseline_title(name) + ("" if shared else f" ({cell})")
                yield title, [MISSING, *facts, MISSING, MISSING], values
    for name, title in (("thumbnail", "colour thumbnails"), ("random", "random order")):
        yield title, [MISSING] * 5, [_plain(set(_baseline(runs, name, bits)), 3) for bits in lengths]


def _baseline(runs: Sequence[dict[str, Any]], name: str, bits: int) -> list[float]:
    """What it came to in each run of that length."""
    return [run["baselines"][name]["map"] for run in runs if run["bits"] == bits and name in run["baselines"]]


def _declared(found: Results, cell: str) -> str:
    cells = found.plan.all_cells
    return cells[cell].method if cell in cells else MISSING


def _budget(run: dict[str, Any]) -> str:
    what = run["declared"]
    if what["minutes"] is None and what["epochs"] is None:
        return "closed form"
    if what["minutes"] is not None:
        return f"{what['minutes']:g} min, {run['machine']['accelerator'] or tell_cores(run)}"
    return "1 epoch" if what["epochs"] == 1 else f"{what['epochs']} epochs"


def tell_cores(run: dict[str, Any]) -> str:
    count = run["machine"]["cores"]
    return "1 core" if count == 1 else f"{count} cores"


def by_cell(found: Results, score: str) -> list[str]:
    bits = max((run["bits"] for run in found.runs.values()), default=0)
    every_run = [criteria(run["verdict"]) for run in found.runs.values()]
    shown = {name: title for name, title in JUDGED.items() if known(one[name] for one in every_run)}
    rows = []
    for cell in found.cells():
        runs = found.found(cell, bits)
        if runs:
            judged = [criteria(run["verdict"]) for run in runs]
            floats = [run["baselines"]["float"]["map"] for run in runs if "float" in run["baselines"]]
            rows.append(
                [
                    cell,
                    mean([run["map"] for run in runs]),
                    mean([run["map_symmetric"] for run in runs]),
                    mean(floats),
                    *(
                        mean([run["precision"][n] for run in runs if n in run["precision"]])
                        for n in ("1", "10", "100")
                    ),
                    *(mean(known(one[name] for one in judged)) for name in shown),
                    _plain((run["trained"].get("epochs") for run in runs), 1),
                    _plain((run["pictures_per_second"] for run in runs), 0),
                ]
            )
    header = ["", score, "symmetric", "exact float", "P@1", "P@10", "P@100", *shown.values()]
    return [
        f"At {bits} bits: float query and stored code, both as codes, both as floats (the same embedding); precision "
        "at N; figures without labels.",
        "",
        *table([*header, "epochs", "pictures/s"], rows),
    ]

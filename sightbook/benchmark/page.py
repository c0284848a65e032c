"""The page of results: one section for each file of results, tables and plots drawn from nothing but those files."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sightbook.benchmark import plots
from sightbook.benchmark.compare import Comparison, compare
from sightbook.benchmark.plan import Plan
from sightbook.benchmark.results import Results, every
from sightbook.benchmark.tracking import criteria, points_of, spearman
from sightbook.errors import ConfigError
from sightbook.evaluate.metrics import definition
from sightbook.files import write_atomic

MISSING = "–"
# Figures without labels, and how the page calls them: of learning by steps, and of learning in closed form.
_JUDGED = {"recall_at_1": "view recall@1", "perplexity": "perplexity", "agreement": "agreement of halves"}
_LEVELS = (0.40, 0.50)  # of mAP, whose times are told
_HEAD = """# Results

Written by `sightbook benchmark` from the files in `results/`; do not edit it. Every figure names its definition of
average precision, its seeds, how the state of the model was chosen (`selection`) and what the backbone was pretrained
on. Test queries were scored, never used to choose. A cell that has not been run shows –.
"""


def write_page(results: Path, page: Path) -> None:
    """Writes `page` (Markdown) and its plots from all files in the folder `results`."""
    sections = [_section(found, page) for found in every(results)]
    write_atomic(page, "\n".join([_HEAD, *sections]).rstrip() + "\n")


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


def _section(found: Results, page: Path) -> str:
    plan = Plan.model_validate(found.plan)
    runs = list(found.runs.values())
    one_table(runs)
    lines = [f"## {plan.title}", ""]
    if not runs:
        return "\n".join([*lines, "Not run yet.", ""])
    some = runs[0]
    score = "mAP" if definition(some["ap_definition"]).whole else f"mAP@{some['R']}"
    junk = f"; pictures with the query's own {plan.junk} are junk" if plan.junk else ""
    lines += [
        f"{some['protocol']}: {some['queries']:,} queries, {some['database']:,} pictures in the database{junk}. "
        f"{score} ({some['ap_definition']}): {definition(some['ap_definition']).sentence}. Mean ± standard deviation "
        "over seeds (their number).",
        "",
        *_by_bits(found, plan, score),
        *_more(found, plan, score),
        *_comparisons(found, plan),
        *_times(found),
        *_grids(found, plan),
        *_tracking(found),
        *_pictures(found, plan, page),
        *_notes(runs),
        *_aside(found),
        *_circumstances(runs),
    ]
    return "\n".join(lines) + "\n"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, text: int = 1) -> list[str]:
    """Markdown; the first `text` columns are words, the others numbers."""
    rule = ["---"] * text + ["---:"] * (len(header) - text)
    return [f"| {' | '.join(cells)} |" for cells in (header, rule, *rows)] + [""]


def _lengths(found: Results) -> list[int]:
    return sorted(
        {run["bits"] for run in found.runs.values()}
        | {one["bits"] for run in found.runs.values() for one in run["nested"]}
    )


def _by_bits(found: Results, plan: Plan, score: str) -> list[str]:
    lengths = _lengths(found)
    rows = []
    for cell in found.cells():
        runs = found.found(cell)
        told = runs[0] if runs else None
        facts = (
            [told["method"], told["backbone"], told["pretraining"], told["selection"], _budget(told)]
            if told
            else [_declared(plan, cell), *[MISSING] * 4]
        )
        rows.append([cell, *facts, *(mean([r["map"] for r in found.found(cell, bits)]) for bits in lengths)])
        if any(run["nested"] for run in runs):
            cells = [
                mean([one["map"] for run in runs for one in run["nested"] if one["bits"] == bits])
                for bits in lengths
            ]
            rows.append([f"{cell}, its first bits", *facts, *cells])
    for name, title in (("thumbnail", "colour thumbnails"), ("random", "random order")):
        cells = []
        for bits in lengths:
            values = {
                run["baselines"][name]["map"]
                for run in found.runs.values()
                if run["bits"] == bits and name in run["baselines"]
            }
            cells.append(f"{statistics.mean(values):.3f}" if values else MISSING)
        rows.append([title, *[MISSING] * 5, *cells])
    header = ["", "method", "backbone", "pretraining", "selection", "budget"]
    return table([*header, *(f"{score}, {bits} bits" for bits in lengths)], rows, text=6)


def _declared(plan: Plan, cell: str) -> str:
    cells = plan.all_cells
    return cells[cell].method if cell in cells else MISSING


def _budget(run: dict[str, Any]) -> str:
    what = run["declared"]
    if what["minutes"] is None and what["epochs"] is None:
        return "closed form"
    if what["minutes"] is not None:
        return f"{what['minutes']:g} min, {run['machine']['accelerator'] or _cores(run)}"
    return "1 epoch" if what["epochs"] == 1 else f"{what['epochs']} epochs"


def _cores(run: dict[str, Any]) -> str:
    count = run["machine"]["cores"]
    return "1 core" if count == 1 else f"{count} cores"


def _more(found: Results, plan: Plan, score: str) -> list[str]:
    bits = max((run["bits"] for run in found.runs.values()), default=0)
    every_run = [criteria(run["verdict"]) for run in found.runs.values()]
    shown = {name: title for name, title in _JUDGED.items() if known(one[name] for one in every_run)}
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


def comparisons(found: Results, plan: Plan) -> dict[tuple[str, int], Comparison]:
    """How the reference stands against every other cell, at each length that both have, on the same queries."""
    reference = plan.compared
    result = {}
    for bits in sorted({run["bits"] for run in found.runs.values()}):
        ours = {run["seed"]: run for run in found.found(reference, bits) if run["digest"] in found.ap}
        for cell in found.cells():
            theirs = {
                run["seed"]: run
                for run in found.found(cell, bits)
                if run["digest"] in found.ap and run["seed"] in ours and paired(ours[run["seed"]], run)
            }
            if cell != reference and theirs:
                result[cell, bits] = compare(
                    {seed: found.ap[ours[seed]["digest"]] for seed in theirs},
                    {seed: found.ap[run["digest"]] for seed, run in theirs.items()},
                )
    return result


def paired(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the queries and the database of two runs are known to be the same pictures with the same labels, so that
    query stands against query. Runs of before digests were kept pair with one another, as they did."""
    same = ("data", "failed", "queries", "database")
    return all(one.get(key) == other.get(key) for key in same)


def unpaired(found: Results, plan: Plan) -> list[str]:
    """Runs that are not compared with the reference, since their queries are not known to be the same."""
    return [
        f"{cell}/{run['bits']}/{run['seed']}"
        for cell in found.cells()
        for run in found.found(cell)
        for ours in found.found(plan.compared, run["bits"])
        if cell != plan.compared and ours["seed"] == run["seed"] and not paired(ours, run)
    ]


def _comparisons(found: Results, plan: Plan) -> list[str]:
    reference = plan.compared
    rows = []
    for (cell, bits), comparison in comparisons(found, plan).items():
        seeds = "; ".join(
            f"{d.seed}: {d.mean:+.3f} [{d.low:+.3f}, {d.high:+.3f}]" for d in comparison.differences
        )
        rows.append([cell, str(bits), seeds, comparison.verdict])
    alone = unpaired(found, plan)
    told = [
        f"Not compared with {reference}, since their queries may be others (cell/bits/seed): {', '.join(alone)}.",
        "",
    ]
    if not rows:
        return told if alone else []
    return [
        *(told if alone else []),
        f"{reference} minus the other, seed by seed, with the middle 95 % of a bootstrap over the queries. "
        "It wins when every seed's interval lies above 0.",
        "",
        *table(["against", "bits", "seed: difference", "verdict"], rows, text=4),
    ]


def time_to(points: Sequence[dict[str, Any]], level: float) -> float | None:
    """Training seconds at which mAP reached `level`, interpolated between two snapshots; None when it did not."""
    before = None
    for point in points:
        if point["map"] >= level:
            if before is None:
                return float(point["seconds"])
            share = (level - before["map"]) / (point["map"] - before["map"])
            return float(before["seconds"] + share * (point["seconds"] - before["seconds"]))
        before = point
    return None


def _times(found: Results) -> list[str]:
    rows = []
    for run in sorted(found.runs.values(), key=lambda run: (run["cell"], run["bits"], run["seed"])):
        if len(run["over_time"]) > 1:
            reached = [time_to(run["over_time"], level) for level in _LEVELS]
            told = [MISSING if seconds is None else f"{seconds / 60:.1f} min" for seconds in reached]
            rows.append([run["cell"], str(run["bits"]), str(run["seed"]), *told, f"{run['map']:.3f}"])
    if not rows:
        return []
    levels = [f"to mAP {level:.2f}" for level in _LEVELS]
    return [
        "Training time, between snapshots by interpolation.",
        "",
        *table(["", "bits", "seed", *levels, "at the end"], rows),
    ]


def _grids(found: Results, plan: Plan) -> list[str]:
    lines = []
    cells = plan.all_cells
    for name, grid in plan.grids.items():
        members = [cell for cell in cells if cell.startswith(f"{name}-")]
        done = [(cell, run) for cell in members for run in found.found(cell)]
        if done:
            what = "agreement" if grid.cell.closed_form else "recall_at_1"
            judged = [
                (cell, value) for cell, run in done if (value := criteria(run["verdict"])[what]) is not None
            ]
            best, _ = max(done, key=lambda pair: pair[1]["map"])
            blind = "nothing was known without labels"
            if judged:
                chosen, _ = max(judged, key=lambda pair: pair[1])
                blind = (
                    f"chosen without labels (best {_JUDGED[what]}): {chosen}, mAP {_map_of(done, chosen):.3f}"
                )
            lines += [
                f"{name}, over {' and '.join(grid.over)}: {blind}; the best by mAP would have been {best}, "
                f"{_map_of(done, best):.3f}.",
                "",
            ]
    return lines


def _map_of(done: Sequence[tuple[str, dict[str, Any]]], cell: str) -> float:
    return statistics.mean(float(run["map"]) for name, run in done if name == cell)


def _tracking(found: Results) -> list[str]:
    rows = []
    for title, groups in points_of(found).items():
        for criterion in ("recall_at_1", "perplexity", "loss", "agreement"):
            values = [
                spearman([p.get(criterion) for p in group], [p["map"] for p in group]) for group in groups
            ]
            known = [value for value in values if value is not None]
            if known:
                rows.append(
                    [
                        title,
                        criterion,
                        f"{statistics.mean(known):+.2f}",
                        str(len(known)),
                        str(sum(map(len, groups))),
                    ]
                )
    if not rows:
        return []
    return [
        "How well criteria without labels follow mAP: Spearman's rank correlation, mean over groups (a loss should "
        "fall, so −1 is perfect).",
        "",
        *table(["among", "criterion", "correlation", "groups", "points"], rows, text=2),
    ]


def _pictures(found: Results, plan: Plan, page: Path) -> list[str]:
    folder = page.parent / page.stem
    drawn = plots.draw(found, plan, folder)
    reference = plan.compared
    lines = [f"![{title}]({page.stem}/{path.name})\n" for title, path in drawn]
    for what, title in (
        ("codewords.png", "use of the codewords"),
        ("sheet.jpg", "queries from the best answered to the worst"),
    ):
        path = folder / f"{found.name}-{reference}-{what}"
        if path.exists():
            lines.append(f"![{reference}: {title}]({page.stem}/{path.name})\n")
    return lines


def _notes(runs: Sequence[dict[str, Any]]) -> list[str]:
    """What the evaluations had to say beside their figures, each sentence once."""
    notes = dict.fromkeys(note for run in runs for note in run["notes"])
    return [*(f"- {note}" for note in notes), ""] if notes else []


def _aside(found: Results) -> list[str]:
    """That there are figures of other data, which stand in no table; and that some do not tell theirs."""
    lines = []
    if found.aside:
        names = sorted(f"{run['cell']}/{run['bits']}/{run['seed']}" for run in found.aside.values())
        lines.append(f"- of other pictures, labels or weights, and in no table above: {', '.join(names)}")
    silent = [run for run in found.runs.values() if "data" not in run]
    if found.data is not None and silent:
        names = sorted(f"{run['cell']}/{run['bits']}/{run['seed']}" for run in silent)
        lines.append(
            f"- do not tell which pictures they are of, their numbers are the same: {', '.join(names)}"
        )
    return [*lines, ""] if lines else []


def _circumstances(runs: Sequence[dict[str, Any]]) -> list[str]:
    seen: dict[str, list[str]] = {}
    for run in runs:
        machine, versions = run["machine"], run["versions"]
        what = ", ".join(
            part
            for part in (
                machine["accelerator"],
                f"{machine['processor']}, {_cores(run)}",
                f"torch {versions.get('torch')}",
                f"commit {(run['commit'] or 'unknown')[:10]}{' with changes' if run['changed'] else ''}",
            )
            if part
        )
        seen.setdefault(what, []).append(f"{run['cell']}/{run['bits']}/{run['seed']}")
    lines = ["Circumstances (cell/bits/seed):", ""]
    for what, names in seen.items():
        lines.append(f"- {what}: {', '.join(sorted(names))}")
    return [*lines, ""]

"""The page of results: one section for each file of results, tables and plots drawn from nothing but those files."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sightbook.benchmark import plots
from sightbook.benchmark.compare import comparisons, unpaired
from sightbook.benchmark.results import Results, every
from sightbook.benchmark.tables import JUDGED, MISSING, by_bits, by_cell, one_table, table, tell_cores
from sightbook.benchmark.tracking import criteria, points_of, spearman
from sightbook.errors import ConfigError
from sightbook.evaluate.metrics import definition
from sightbook.evaluate.plots import check_drawing
from sightbook.files import write_atomic

_LEVELS = (0.40, 0.50)  # of mAP, whose times are told
_LOOKED_AT = 1000  # bytes of a page that is there
_WRITTEN = "Written by `sightbook benchmark`"
_HEAD = f"""# Results

{_WRITTEN} from the files in `results/`; do not edit it. Every figure names its definition of
average precision, its seeds, how the state of the model was chosen (`selection`) and what the backbone was pretrained
on. Test queries were scored, never used to choose. A cell that has not been run shows –.
"""


def check_page(page: Path) -> None:
    """ConfigError when the page would take the place of a file that was not written as such a page."""
    try:
        found = page.read_bytes()
    except FileNotFoundError:
        return
    except OSError:  # a folder, a file that we may not look at
        found = b"?"
    if found and _WRITTEN.encode() not in found[:_LOOKED_AT]:
        raise ConfigError(
            f"{page} is there already, and no page of results that `sightbook benchmark` wrote: it is left as it is, "
            "give another --page"
        )


def check(results: Path, page: Path) -> None:
    """What would else be known hours later, when the page is drawn: ConfigError for a page that is another file and for
    results that cannot be read, MissingExtra without matplotlib."""
    check_page(page)
    check_drawing()
    for _ in every(results):
        pass


def write_page(results: Path, page: Path) -> None:
    """Writes `page` (Markdown) and its plots from all files in the folder `results`."""
    check_page(page)
    sections = [_section(found, page) for found in every(results)]
    write_atomic(page, "\n".join([_HEAD, *sections]).rstrip() + "\n")


def _section(found: Results, page: Path) -> str:
    plan, runs = found.plan, list(found.runs.values())
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
        *by_bits(found, score),
        *by_cell(found, score),
        *_comparisons(found),
        *_times(found),
        *_grids(found),
        *_tracking(found),
        *_pictures(found, page),
        *_notes(runs),
        *_aside(found),
        *_circumstances(runs),
    ]
    return "\n".join(lines) + "\n"


def _comparisons(found: Results) -> list[str]:
    reference = found.plan.compared
    rows = []
    for (cell, bits), comparison in comparisons(found).items():
        seeds = "; ".join(
            f"{d.seed}: {d.mean:+.3f} [{d.low:+.3f}, {d.high:+.3f}]" for d in comparison.differences
        )
        rows.append([cell, str(bits), seeds, comparison.verdict])
    alone = unpaired(found)
    told = [
        f"Not compared with {reference}, since their queries may be others, or are not known one by one "
        f"(cell/bits/seed): {', '.join(alone)}.",
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


def _grids(found: Results) -> list[str]:
    lines = []
    for name, grid in found.plan.grids.items():
        done = [(cell, run) for cell, _ in found.plan.members(name) for run in found.found(cell)]
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
                    f"chosen without labels (best {JUDGED[what]}): {chosen}, mAP {_map_of(done, chosen):.3f}"
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


def _pictures(found: Results, page: Path) -> list[str]:
    folder = page.parent / page.stem
    drawn = plots.draw(found, folder)
    reference = found.plan.compared
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
                f"{machine['processor']}, {tell_cores(run)}",
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

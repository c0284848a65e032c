"""The plots of an experiment, each drawn only when there is something to see in it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from pathlib import Path

from sightbook.benchmark.results import Results
from sightbook.benchmark.tracking import points_of
from sightbook.evaluate.plots import new_figure, save

_MOST_LINES = 12


def draw(found: Results, folder: Path) -> list[tuple[str, Path]]:
    """(title, path) of each plot that was drawn."""
    makers: dict[str, tuple[str, Callable[[Results, Path], bool]]] = {
        "bits": ("mAP by length of the code", _bits),
        "precision": ("precision among the first N", _precision),
        "recall": ("precision and recall", _recall),
        "time": ("mAP over training time", _time),
        "tracking": ("view recall@1, which needs no labels, and mAP", _tracking),
    }
    for name in found.plan.grids:
        makers[f"grid-{name}"] = (f"mAP over the grid {name}", _grid_of(name))
    drawn = []
    for name, (title, maker) in makers.items():
        path = folder / f"{found.name}-{name}.png"
        if maker(found, path):
            drawn.append((title, path))
        else:
            path.unlink(missing_ok=True)
    return drawn


def _singles(found: Results) -> list[str]:
    """The cells that are no members of a grid: those go into a plot of their own."""
    members = {name for grid in found.plan.grids for name, _ in found.plan.members(grid)}
    return [cell for cell in found.cells() if cell not in members][:_MOST_LINES]


def _bits(found: Results, path: Path) -> bool:
    lines: dict[str, dict[int, float]] = {}
    for cell in _singles(found):
        runs = found.found(cell)
        own: dict[int, list[float]] = {}
        nested: dict[int, list[float]] = {}
        for run in runs:
            own.setdefault(run["bits"], []).append(run["map"])
            for one in run["nested"]:
                nested.setdefault(one["bits"], []).append(one["map"])
            if run["nested"]:
                nested.setdefault(run["bits"], []).append(run["map"])
        for name, by_bits in ((cell, own), (f"{cell}, first bits", nested)):
            if len(by_bits) > 1:
                lines[name] = {bits: statistics.mean(by_bits[bits]) for bits in sorted(by_bits)}
    if not lines:
        return False
    figure, axes = new_figure()
    for name, values in lines.items():
        axes.plot(list(values), list(values.values()), marker="o", label=name)
    ticks = sorted({bits for values in lines.values() for bits in values})
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(bits) for bits in ticks])
    axes.set(xlabel="bits", ylabel="mAP")
    axes.legend(fontsize=8)
    save(figure, path)
    return True


def _curve(found: Results, path: Path, key: str, labels: tuple[str, str]) -> bool:
    bits = max((run["bits"] for run in found.runs.values()), default=0)
    figure, axes = new_figure()
    some = False
    for cell in _singles(found):
        for run in found.found(cell, bits)[:1]:
            curve = run["curves"]["model"][key]
            axes.plot([float(x) for x in curve], list(curve.values()), label=cell, linewidth=1.4)
            some = True
    for run in [run for run in found.runs.values() if run["bits"] == bits][:1]:
        if "thumbnail" in run["curves"]:
            curve = run["curves"]["thumbnail"][key]
            axes.plot(
                [float(x) for x in curve],
                list(curve.values()),
                label="colour thumbnails",
                color="grey",
                ls="--",
            )
    if key == "at":
        axes.set_xscale("log")
    axes.set(xlabel=labels[0], ylabel=labels[1])
    axes.set_ylim(bottom=0)
    if some:
        axes.legend(fontsize=8)
        save(figure, path)
    return some


def _precision(found: Results, path: Path) -> bool:
    return _curve(found, path, "at", ("answers N", "mean precision among the first N"))


def _recall(found: Results, path: Path) -> bool:
    return _curve(found, path, "by_recall", ("recall", "mean precision"))


def _time(found: Results, path: Path) -> bool:
    watched = [run for run in found.runs.values() if len(run["over_time"]) > 1][:_MOST_LINES]
    if not watched:
        return False
    figure, axes = new_figure()
    for run in watched:
        minutes = [point["seconds"] / 60 for point in run["over_time"]]
        name = f"{run['cell']}, {run['bits']} bits, seed {run['seed']}"
        axes.plot(minutes, [point["map"] for point in run["over_time"]], marker=".", label=name)
    axes.set(xlabel="minutes of training", ylabel="mAP")
    axes.legend(fontsize=8)
    save(figure, path)
    return True


def _tracking(found: Results, path: Path) -> bool:
    groups = {
        title: [point for group in members for point in group if point["recall_at_1"] is not None]
        for title, members in points_of(found).items()
    }
    if not any(groups.values()):
        return False
    figure, axes = new_figure()
    for (title, points), marker in zip(groups.items(), "ox", strict=False):
        axes.scatter(
            [p["recall_at_1"] for p in points], [p["map"] for p in points], s=18, marker=marker, label=title
        )
    axes.set(xlabel="view recall@1 through the codes, held-out pictures", ylabel="mAP")
    axes.legend(fontsize=8)
    save(figure, path)
    return True


def _grid_of(name: str) -> Callable[[Results, Path], bool]:
    def draw_grid(found: Results, path: Path) -> bool:
        over = found.plan.grids[name].over
        keys = list(over)
        maps = [[run["map"] for run in found.found(cell)] for cell, _ in found.plan.members(name)]
        if not any(maps):
            return False
        rows = list(over[keys[0]])
        columns = list(over[keys[1]]) if len(keys) > 1 else [""]
        table = [
            [
                statistics.mean(values) if (values := maps[i * len(columns) + j]) else float("nan")
                for j in range(len(columns))
            ]
            for i in range(len(rows))
        ]
        figure, axes = new_figure()
        axes.grid(False)
        image = axes.imshow(table, cmap="viridis", aspect="auto")
        axes.set_xticks(range(len(columns)), [str(value) for value in columns])
        axes.set_yticks(range(len(rows)), [str(value) for value in rows])
        axes.set(xlabel=keys[1] if len(keys) > 1 else "", ylabel=keys[0])
        for i, row in enumerate(table):
            for j, value in enumerate(row):
                text = "–" if math.isnan(value) else f"{value:.3f}"
                dark = math.isnan(value) or image.norm(value) > 0.6  # the letters, on a bright cell
                axes.text(
                    j, i, text, ha="center", va="center", color="black" if dark else "white", fontsize=9
                )
        save(figure, path)
        return True

    return draw_grid

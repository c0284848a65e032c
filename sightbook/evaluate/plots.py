"""An evaluation as pictures: precision by rank and by recall, the use of the codewords, a sheet of answers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sightbook.errors import ConfigError, MissingExtra, SightbookError
from sightbook.evaluate.details import Answer, Curve, Details
from sightbook.evaluate.report import Report, title_of
from sightbook.files import MARK, replace_atomic
from sightbook.images.entry import Entry
from sightbook.images.ours import refuse_foreign
from sightbook.present.sheet import sheet

NAMES = ("precision.png", "recall.png", "codewords.png", "sheet.png")


def draw(report: Report, folder: Path) -> list[Path]:
    """Writes the pictures of a report with details into `folder`, which is made, and returns their paths.

    Raises ConfigError when the report was made without details or `folder` is a file, MissingExtra without matplotlib.
    """
    if report.details is None:
        raise ConfigError("this report has no curves to draw: evaluate with details")
    check(folder)
    details = report.details
    named = {title_of(report, name): curve for name, curve in details.curves.items()}
    precision, recall, codewords, answers = (folder / name for name in NAMES)
    draw_precision({name: curve.at for name, curve in named.items()}, precision)
    draw_recall(named, recall)
    draw_usage(details, codewords)
    if not details.samples:  # of vectors there is nothing to look at
        return [precision, recall, codewords]
    draw_sheet(details, answers, f"{report.protocol}: answers of {report.figures.model}")
    return [precision, recall, codewords, answers]


def check(folder: Path) -> None:
    """What can be refused before anything is computed: ConfigError for a file, or a folder where pictures of others
    have the names of the plots; MissingExtra without matplotlib."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file: give a folder for the plots")
    for name in NAMES:
        refuse_foreign(folder / name)
    check_drawing()


def check_drawing() -> None:
    """MissingExtra without matplotlib."""
    if find_spec("matplotlib") is None:
        raise MissingExtra("drawing plots", "train")


def draw_precision(curves: Mapping[str, Mapping[int, float]], path: Path) -> None:
    """Mean precision among the first N answers; curves {title: {N: precision}}."""
    lines = {name: (list(at), list(at.values())) for name, at in curves.items()}
    _lines(lines, path, ("answers N", "mean precision among the first N"), logarithmic=True)


def draw_recall(curves: Mapping[str, Curve], path: Path) -> None:
    """Mean precision where a share of the relevant pictures is found."""
    lines = {name: (list(curve.by_recall), list(curve.by_recall.values())) for name, curve in curves.items()}
    _lines(lines, path, ("recall", "mean precision"))


def draw_usage(details: Details, path: Path) -> None:
    """How often each codeword is used, per codebook, most used first; the dashed line is equal use."""
    share = details.usage / details.usage.sum(axis=1, keepdims=True)
    K = share.shape[1]
    ranks = list(range(1, K + 1))
    lines = {
        f"codebook {m}": (ranks, sorted(row.tolist(), reverse=True))
        for m, row in enumerate(share[:16], start=1)
    }
    _lines(lines, path, ("codeword, most used first", "share of the database's codes"), level=1 / K)


def draw_sheet(details: Details, path: Path, title: str) -> None:
    """Queries from the best answered to the worst, each with its first answers, right ones framed green."""
    rows = [
        [_Shown(number, rank, answer) for rank, answer in enumerate(sample.answers, start=1)]
        for number, sample in enumerate(details.samples)
    ]
    sheet(
        [_bytes(sample.query.entry) for sample in details.samples],
        rows,
        path,
        columns=max(map(len, rows), default=1),
        side=120,
        title=title,
        names=[f"{_named(sample.query.labels)}, AP {sample.ap:.2f}" for sample in details.samples],
        right=[[answer.right for answer in sample.answers] for sample in details.samples],
    )


@dataclass(frozen=True)
class _Shown:
    """An answer as the sheet wants it."""

    query: int
    rank: int
    answer: Answer

    @property
    def score(self) -> float:
        return self.answer.score

    @property
    def path(self) -> str:
        return _named(self.answer.picture.labels)

    def read(self) -> bytes:
        return self.answer.picture.entry.read()


def _bytes(entry: Entry) -> bytes:
    """Nothing where it cannot be read any more: that costs its cell, not the sheet."""
    try:
        return entry.read()
    except SightbookError:
        return b""


def _named(labels: Sequence[str]) -> str:
    return ", ".join(labels).replace("/", "∕") or "no label"


Line = tuple[Sequence[float], Sequence[float]]


def _lines(
    lines: Mapping[str, Line],
    path: Path,
    axes_names: tuple[str, str],
    *,
    logarithmic: bool = False,
    level: float | None = None,
) -> None:
    figure, axes = new_figure()
    for name, (x, y) in lines.items():
        axes.plot(x, y, label=name, linewidth=1.4)
    if level is not None:
        axes.axhline(level, color="grey", linestyle="--", linewidth=1)
    if logarithmic:
        axes.set_xscale("log")
    axes.set(xlabel=axes_names[0], ylabel=axes_names[1])
    axes.set_ylim(bottom=0)
    if len(lines) <= 12:
        axes.legend(fontsize=8)
    save(figure, path)


def new_figure(width: float = 6.4, height: float = 4.2):  # type: ignore[no-untyped-def]
    """(figure, axes) of matplotlib, without a window."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    return figure, axes


def save(figure: object, path: Path) -> None:
    """Writes a matplotlib figure as PNG, atomically."""
    with replace_atomic(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png", metadata={"Software": MARK})  # type: ignore[attr-defined]

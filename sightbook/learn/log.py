"""train/log.jsonl: one JSON object a second, and the curves drawn from it."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sightbook.files import MARK, replace_atomic, write_atomic
from sightbook.learn.checkpoint import Position

NAME = "log.jsonl"
EVERY_SECONDS = 1.0  # between two lines


class TrainLog:
    """Appends to log.jsonl. Lines beyond `step` are dropped first: a resumed run writes them again. A quiet one writes
    nothing."""

    def __init__(self, folder: Path, step: int, *, quiet: bool = False) -> None:
        self.path = Path(os.devnull) if quiet else folder / NAME
        if not quiet:
            kept = [line for line in read(folder) if line["step"] <= step]
            write_atomic(self.path, "".join(json.dumps(line) + "\n" for line in kept))
        self._last = 0.0
        self._before = (0, 0.0)

    def __enter__(self) -> TrainLog:
        self._file = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(
        self, at: Position, epoch: float, figures: Mapping[str, float], terms: Mapping[str, float]
    ) -> None:
        """Writes a line when a second has passed since the last one. terms: by name; the loss is their sum."""
        now = time.monotonic()
        if now - self._last < EVERY_SECONDS:
            return
        self._last = now
        pictures, seconds = self._before
        rate = (at.pictures - pictures) / (at.seconds - seconds) if at.seconds > seconds else 0.0
        self._before = (at.pictures, at.seconds)
        line: dict[str, Any] = {
            "step": at.step,
            "epoch": round(epoch, 4),
            "seconds": round(at.seconds, 3),
            **figures,
        }
        line["terms"] = dict(terms)
        self._file.write(json.dumps({**line, "pictures_per_second": round(rate, 1)}) + "\n")
        self._file.flush()


def read(folder: Path) -> list[dict[str, Any]]:
    """The lines of log.jsonl, oldest first; a last line that a crash cut off is left out."""
    try:
        text = (folder / NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    lines = []
    for line in text.splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return lines


def draw_curves(folder: Path) -> Path | None:
    """Loss and codeword usage over the training time as train/curves.png; None when nothing was logged."""
    lines = read(folder)
    if not lines:
        return None
    os.environ.setdefault("MPLBACKEND", "Agg")
    from matplotlib.figure import Figure

    minutes = [line["seconds"] / 60 for line in lines]
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    panels: tuple[tuple[str, dict[str, str]], ...] = (
        ("loss", {"loss": "loss"}),
        ("codewords", {"used": "share in use"}),
        ("perplexity", {"perplexity": "perplexity of the codewords"}),
    )
    for axes, (title, curves) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for key, label in curves.items():
            axes.plot(minutes, [line[key] for line in lines], label=label, linewidth=1.2)
        if title == "loss":
            _draw_terms(axes, minutes, lines)
        axes.set(xlabel="minutes", title=title)
        axes.grid(alpha=0.3)
    path = folder / "curves.png"
    with replace_atomic(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png", metadata={"Software": MARK})
    return path


def _draw_terms(axes: Any, minutes: list[float], lines: list[dict[str, Any]]) -> None:
    """The terms of the loss under it, where there are several; lines of an earlier version have none."""
    names = dict.fromkeys(name for line in lines for name in line.get("terms", {}))
    if len(names) < 2:
        return
    for name in names:
        axes.plot(
            minutes, [line.get("terms", {}).get(name, math.nan) for line in lines], label=name, linewidth=0.8
        )
    axes.legend(fontsize=7)

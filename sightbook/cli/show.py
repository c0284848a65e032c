"""Progress on standard error: a bar with rate, time left and figures on a terminal, plain lines elsewhere.

Data flow: a stage calls its listener with `Progress` and `Notice`; `showing()` is that listener for the command line.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sightbook.cli.output import harmless, note
from sightbook.progress import Listener, Notice, Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

_LINE_EVERY_SECONDS = 5.0


@contextmanager
def showing() -> Iterator[Listener]:
    """Yields the listener that shows what is done: bars on a terminal, else a line every few seconds."""
    if sys.stderr.isatty():
        with _bars() as listener:
            yield listener
    else:
        yield lines()


def lines(write: Callable[[str], None] = note, clock: Callable[[], float] = time.monotonic) -> Listener:
    """A listener of plain lines: each notice, and per stage at most a line every five seconds and one at its end."""
    due: dict[str, float] = {}

    def listen(event: Progress | Notice) -> None:
        if isinstance(event, Notice):
            write(event.text)
            return
        now = clock()
        if event.finished:
            due.pop(event.stage, None)
        elif now < due.setdefault(event.stage, now + _LINE_EVERY_SECONDS):
            return
        else:
            due[event.stage] = now + _LINE_EVERY_SECONDS
        write(f"{event.stage}: {describe(event)}")

    return listen


def tell(listener: Listener) -> Callable[[str], None]:
    """What says one sentence to the listener."""
    return lambda text: listener(Notice(text))


def describe(event: Progress) -> str:
    """One line: '12,800/50,000 pictures, 812/s, 0:46 left, loss 2.31'."""
    parts = [f"{event.done:,}" + (f"/{event.total:,}" if event.total is not None else "") + f" {event.unit}"]
    if event.rate:
        parts.append(f"{event.rate:,.0f}/s" if event.rate >= 10 else f"{event.rate:.1f}/s")
    if event.finished:
        parts.append("done")
    elif event.seconds_left is not None:
        parts.append(f"{duration(event.seconds_left)} left")
    parts += [
        f"{value:.0%} of the codewords used"
        if name == "used"
        else f"{name.replace('_', ' ')} {_figure(value)}"
        for name, value in event.figures.items()
    ]
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Seconds as 0:46, 12:03 or 1:02:03."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _figure(value: float) -> str:
    """Whole numbers with separators, others with three digits."""
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) >= 1 else f"{value:.3g}"


@contextmanager
def _bars() -> Iterator[Listener]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars
    from rich.table import Column

    console = Console(stderr=True, highlight=False)
    bars = Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn(
            "{task.fields[text]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")
        ),
        console=console,
        refresh_per_second=4,
    )
    with bars:
        yield _bar_listener(bars)


def _bar_listener(bars: Bars) -> Listener:
    tasks: dict[str, TaskID] = {}
    began: dict[str, float] = {}

    def listen(event: Progress | Notice) -> None:
        if isinstance(event, Notice):
            bars.console.print(harmless(event.text), markup=False)
            return
        if event.stage not in tasks:
            tasks[event.stage] = bars.add_task(event.stage, total=None, text="")
            began[event.stage] = time.monotonic()
        done, total = fraction(event, time.monotonic() - began[event.stage])
        bars.update(tasks[event.stage], completed=done, total=total, text=describe(event))
        if event.finished:  # a later stage of the same name gets a bar of its own
            del tasks[event.stage]

    return listen


def fraction(event: Progress, elapsed: float) -> tuple[float, float | None]:
    """(done, total) for the bar; a stage with a time budget has no total, but its time left tells as much."""
    if event.finished:
        return 1, 1
    if event.total is not None:
        return event.done, max(event.total, 1)
    if event.seconds_left is not None:
        return elapsed, elapsed + event.seconds_left
    return 0, None

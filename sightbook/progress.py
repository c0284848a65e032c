"""How long stages tell what they do: plain events given to a listener; only the command line prints.

Data flow: a stage owns a `Meter`, calls `advance(n)` for work done, and the meter hands the listener a `Progress`
at most five times a second. `Notice` carries one sentence the user should see.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

EVERY_SECONDS = 0.2  # between two events of a stage
_WINDOW_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Progress:
    """State of one stage. `rate` is units per second over the last seconds; `seconds_left` None when unknown."""

    stage: str
    done: int
    total: int | None
    unit: str
    rate: float | None
    seconds_left: float | None
    figures: Mapping[str, float] = field(default_factory=dict)
    finished: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """One sentence for the user."""

    text: str


Listener = Callable[[Progress | Notice], None]


def silent(event: Progress | Notice) -> None:
    """The listener that hears nothing."""


class Meter:
    """Counts the work of one stage and reports it, throttled."""

    def __init__(
        self, listener: Listener, stage: str, total: int | None = None, unit: str = "pictures"
    ) -> None:
        self.listener, self.stage, self.total, self.unit = listener, stage, total, unit
        self.done = 0
        self.started = time.monotonic()
        self._last = 0.0
        self._recent: deque[tuple[float, int]] = deque([(self.started, 0)])
        self._figures: dict[str, float] = {}

    def advance(self, n: int = 1, *, seconds_left: float | None = None, **figures: float) -> None:
        """Adds `n` units of work; `seconds_left` overrides the estimate (a time budget knows better)."""
        self.done += n
        self._figures.update(figures)
        now = time.monotonic()
        if now - self._last >= EVERY_SECONDS:
            self._last = now
            self.listener(self._event(now, seconds_left))

    def close(self) -> None:
        """Reports the final state once."""
        self.listener(self._event(time.monotonic(), 0.0, finished=True))

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def _event(self, now: float, seconds_left: float | None, finished: bool = False) -> Progress:
        self._recent.append((now, self.done))
        while len(self._recent) > 2 and now - self._recent[0][0] > _WINDOW_SECONDS:
            self._recent.popleft()
        first_time, first_done = (self.started, 0) if finished else self._recent[0]
        elapsed = now - first_time
        rate = (self.done - first_done) / elapsed if elapsed > 0 else None
        if seconds_left is None and rate and self.total is not None:
            seconds_left = (self.total - self.done) / rate
        return Progress(
            self.stage, self.done, self.total, self.unit, rate, seconds_left, dict(self._figures), finished
        )

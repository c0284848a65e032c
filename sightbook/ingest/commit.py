"""The one loop by which rows reach the catalogue: gathered as they come, committed in batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from sightbook.interrupt import deferred_interrupt

_T = TypeVar("_T")

# A batch is committed when it has this many rows or is this old: what a kill can cost is seconds.
BATCH, SECONDS = 512, 5.0


def commit_all(rows: Iterator[_T], commit: Callable[[list[_T]], None]) -> None:
    """Commits all rows. What came before an error of `rows`, or before Ctrl-C, is committed before that is raised; a
    commit that fails ends it at once. Ctrl-C waits for a commit, so that no batch is written or counted twice."""
    for batch in _in_batches(rows):
        with deferred_interrupt() as interrupted:
            commit(batch)
        if interrupted():
            raise KeyboardInterrupt


def _in_batches(rows: Iterator[_T]) -> Iterator[list[_T]]:
    ended: BaseException | None = None
    while ended is None:
        batch: list[_T] = []
        started = time.monotonic()
        try:
            while len(batch) < BATCH and time.monotonic() - started <= SECONDS:
                batch.append(next(rows))
        except BaseException as error:
            ended = error
        if batch:
            yield batch
    if not isinstance(ended, StopIteration):
        raise ended

"""Small matrix products and decompositions by one thread of BLAS, large ones by no more than the process may use.

Where another process wants the cores, the threads of OpenBLAS wait for each other busily: an eigendecomposition of
1,280 numbers took twenty times as long by two threads as by one, and giving 5,096 pictures their codes ten times
(docs/log.md). Alone, two threads save little of either. A container's quota is unknown to BLAS, which takes all cores
of the machine.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any

from sightbook.cores import cores


class _Blocks:
    """The blocks that are open now: of each thread by itself (`own.limit`), and outermost ones of all threads."""

    def __init__(self) -> None:
        self.lock, self.own = threading.Lock(), threading.local()
        self.open = 0
        self.before: list[int] = []  # threads of each library when the first of them began


_BLOCKS = _Blocks()


def one_thread() -> AbstractContextManager[None]:
    """BLAS takes one thread in this block, and as many as before afterwards."""
    return at_most(1)


def own_cores() -> AbstractContextManager[None]:
    """BLAS takes no more threads in this block than there are cores for this process."""
    return at_most(cores())


@contextmanager
def at_most(threads: int) -> Iterator[None]:
    """BLAS takes that many threads in this block, or fewer: as many as before and around it.

    Some builds count threads for each thread that calls, others for the process. There a block may end while one of
    another thread goes on: that one then has more threads than it wanted, and the number in the end is that of before.
    """
    blocks, libraries = _BLOCKS, _libraries()
    around: int | None = getattr(blocks.own, "limit", None)
    limit = threads if around is None else min(threads, around)
    if limit != around:
        with blocks.lock:
            if around is None:
                if blocks.open == 0:
                    blocks.before = [each.get_num_threads() for each in libraries]
                blocks.open += 1
            _set(limit)
    blocks.own.limit = limit
    try:
        yield
    finally:
        blocks.own.limit = around
        if limit != around:
            with blocks.lock:
                if around is None:
                    blocks.open -= 1
                _set(around)


def _set(limit: int | None) -> None:
    """Each library at what it had before all blocks, but no more than `limit`."""
    for each, before in zip(_libraries(), _BLOCKS.before, strict=True):
        each.set_num_threads(before if limit is None else min(limit, before))


@cache
def _libraries() -> list[Any]:
    """Looked for once, which takes a millisecond. NumPy's is loaded by then."""
    import numpy  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)

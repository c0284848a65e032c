"""Small matrix products and decompositions by one thread of BLAS.

Where another process wants the cores, the threads of OpenBLAS wait for each other busily: an eigendecomposition of
1,280 numbers took twenty times as long by two threads as by one, and giving 5,096 pictures their codes ten times
(docs/log.md). Alone, two threads save little of either.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


class _Blocks:
    """The blocks that are open now: of each thread by itself (`own.depth`), and outermost ones of all threads."""

    def __init__(self) -> None:
        self.lock, self.own = threading.Lock(), threading.local()
        self.open = 0
        self.before: list[int] = []  # threads of each library when the first of them began


_BLOCKS = _Blocks()


@contextmanager
def one_thread() -> Iterator[None]:
    """BLAS takes one thread in this block, and as many as before afterwards.

    Some builds count threads for each thread that calls, others for the process. There a block may end while one of
    another thread goes on: that one then has more threads than it wanted, and the number in the end is that of before.
    """
    blocks, libraries = _BLOCKS, _libraries()
    depth = getattr(blocks.own, "depth", 0)
    if depth == 0:
        with blocks.lock:
            if blocks.open == 0:
                blocks.before = [each.get_num_threads() for each in libraries]
            blocks.open += 1
            for each in libraries:
                each.set_num_threads(1)
    blocks.own.depth = depth + 1
    try:
        yield
    finally:
        blocks.own.depth = depth
        if depth == 0:
            with blocks.lock:
                blocks.open -= 1
                for each, threads in zip(libraries, blocks.before, strict=True):
                    each.set_num_threads(threads)


@cache
def _libraries() -> list[Any]:
    """Looked for once, which takes a millisecond. NumPy's is loaded by then."""
    import numpy  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)

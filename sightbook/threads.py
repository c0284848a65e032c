"""Small matrix products and decompositions by one thread of BLAS.

Where another process wants the cores, the threads of OpenBLAS wait for each other busily: an eigendecomposition of
1,280 numbers took twenty times as long by two threads as by one, and giving 5,096 pictures their codes ten times
(docs/log.md). Alone, two threads save little of either.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


@contextmanager
def one_thread() -> Iterator[None]:
    """BLAS takes one thread in this block, and as many as before afterwards.

    Some builds count threads for each thread that calls, others for the process. There a block in another thread may
    find one thread already; it then leaves the number alone, so that whoever lowered it raises it again.
    """
    libraries = _libraries()
    if all(each["num_threads"] == 1 for each in libraries.info()):
        yield
        return
    with libraries.limit(limits=1):
        yield


@cache
def _libraries() -> Any:
    """Looked for once, which takes a millisecond. NumPy's is loaded by then."""
    import numpy  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")

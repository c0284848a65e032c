"""One thread of BLAS in a block, and as many as before afterwards."""

from __future__ import annotations

import threading

import numpy as np  # noqa: F401  (its BLAS is what is counted)
import pytest
from threadpoolctl import threadpool_info

from sightbook.threads import one_thread


def counts() -> list[int]:
    """Threads of NumPy's BLAS; of others that were loaded later nothing is said."""
    found = [each for each in threadpool_info() if each["user_api"] == "blas" and "numpy" in each["filepath"]]
    return [int(each["num_threads"]) for each in found]


def test_blocks_in_one_another_and_an_error_give_the_threads_back() -> None:
    if not (before := counts()):
        pytest.skip("this BLAS does not tell its threads")
    with one_thread():
        with one_thread():
            assert set(counts()) == {1}
        assert set(counts()) == {1}
    assert counts() == before
    with pytest.raises(KeyError), one_thread():
        raise KeyError
    assert counts() == before


def test_threads_that_overlap_give_them_back() -> None:
    if not (before := counts()):
        pytest.skip("this BLAS does not tell its threads")
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with one_thread():
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    with one_thread():
        thread.start()
        assert inside.wait(60)
    leave.set()
    thread.join()
    assert counts() == before
    with one_thread():  # and the next block finds them as they were
        assert set(counts()) == {1}
    assert counts() == before

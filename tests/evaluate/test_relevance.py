"""Labels and junk as arrays say what the labels and junk values said."""

from __future__ import annotations

import tracemalloc

import numpy as np

from sightbook.evaluate.relevance import Truth


def test_one_shared_label_makes_a_picture_relevant() -> None:
    truth = Truth.of([["cat"], ["dog", "cat"], ["fish"]], [["cat"], ["dog"], ["cat", "bird"]])
    ids = np.tile(np.arange(3), (3, 1))
    assert truth.hits(0, ids).tolist() == [[True, False, True], [True, True, True], [False, False, False]]
    assert truth.counts[0].tolist() == [2, 3, 0]
    assert truth.counts[1].tolist() == [3, 3, 3]


def test_more_than_64_classes_keep_apart() -> None:
    names = [[str(i), "x"] if i % 2 else [str(i)] for i in range(150)]
    truth = Truth.of(names, names)
    hits = truth.hits(0, np.tile(np.arange(150), (150, 1)))
    assert (hits == [[bool(set(a) & set(b)) for b in names] for a in names]).all()
    assert truth.counts[0].tolist() == hits.sum(axis=1).tolist()


def test_missing_ranks_are_no_hits() -> None:
    truth = Truth.of([["a"]], [["a"], ["b"]])
    assert truth.hits(0, np.array([[0, -1, 1]])).tolist() == [[True, False, False]]


def test_junk_shares_the_querys_value_and_no_value_is_no_group() -> None:
    truth = Truth.of([["a"], ["a"], ["a"]], [["a"], ["a"], ["b"]], ["7", "", "8"], ["7", "", "7"])
    assert (truth.junk(0, 3) == [[1, 0, 1], [0, 0, 0], [0, 0, 0]]).all()
    assert truth.counts[0].tolist() == [1, 2, 2]
    assert truth.counts[1].tolist() == [1, 3, 3]
    assert Truth.of([["a"]], [["a"]]).junk(0, 1) is None


def test_thousands_of_labels_take_no_more_memory_than_a_few() -> None:
    def peak(labels: int) -> int:
        names = [[f"{i % labels}", f"{(7 * i + 1) % labels}"] for i in range(labels)]
        truth = Truth.of(names, names)
        ids = np.tile(np.arange(500), (100, 1))
        tracemalloc.start()
        try:
            hits = truth.hits(0, ids)
            found = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert hits.sum() == sum(bool(set(a) & set(b)) for a in names[:100] for b in names[:500])
        return found

    assert peak(6400) < 1.5 * peak(640)

import numpy as np
import pytest

from sightbook.codes.engine.ids import Ids

LEAST, MOST = np.iinfo(np.int64).min, np.iinfo(np.int64).max


def holes(count: int, first: int, span: int) -> np.ndarray:
    rng = np.random.default_rng(count)
    return first + np.sort(rng.choice(span, count, replace=False)).astype(np.int64)


@pytest.mark.parametrize(
    "ids",
    [
        np.array([7]),
        np.arange(5, 205),
        np.arange(65_530, 65_545),
        np.arange(MOST - 70_000, MOST),
        np.arange(LEAST, LEAST + 70_000),
        np.array([LEAST, -1, MOST]),
        np.array([0, 1 << 16, 1 << 40]),
        np.concatenate([np.arange(1000), 500_000 + np.arange(1000)]),  # blocks without any
        holes(3000, -400_000, 700_000),
        holes(20, 0, 1 << 20),
    ],
    ids=lambda ids: f"{len(ids)} from {ids[0]}",
)
def test_ids_and_rows_are_each_others_inverse(ids: np.ndarray) -> None:
    kept = Ids(ids.astype(np.int64))
    rows = np.arange(len(ids))
    assert kept.of(rows).dtype == np.int64
    assert np.array_equal(kept.of(rows), ids)
    assert np.array_equal(kept.of(rows[None, ::-1]), ids[None, ::-1])
    assert np.array_equal(kept.rows(ids.astype(np.int64)), rows)
    near = np.unique(np.concatenate([ids, ids[ids < MOST] + 1, ids[ids > LEAST] - 1, [LEAST, 0, MOST]]))
    assert np.array_equal(kept.rows(near.astype(np.int64)), rows)
    some = near[1::2].astype(np.int64)
    assert np.array_equal(kept.of(kept.rows(some)), np.intersect1d(some, ids))
    assert kept.rows(np.empty(0, np.int64)).shape == (0,)


def test_ids_take_two_bytes_unless_they_lie_far_apart() -> None:
    dense, sparse = Ids(holes(100_000, 1, 200_000)), Ids(holes(2000, 1, 1 << 40))
    assert dense.nbytes < 2.01 * 100_000
    assert sparse.nbytes == 8 * 2000

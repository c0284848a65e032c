import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sightbook.codes.ranking import ROWS, keys, rows_of, scores_of

finite = st.floats(width=32, allow_nan=False).map(lambda score: score + 0.0)
pairs = st.lists(st.tuples(finite, st.integers(0, ROWS - 1)), min_size=1, max_size=40)


@given(pairs)
def test_sorting_keys_sorts_by_score_descending_then_row_ascending(drawn):
    scores = np.array([score for score, _ in drawn], np.float32)
    rows = np.array([row for _, row in drawn], np.int64)
    made = np.sort(keys(scores, rows))
    expected = sorted(drawn, key=lambda pair: (-pair[0], pair[1]))
    assert rows_of(made).tolist() == [row for _, row in expected]
    assert scores_of(made).tolist() == [score for score, _ in expected]


@given(pairs)
def test_keys_give_back_every_bit(drawn):
    scores = np.array([score for score, _ in drawn], np.float32)
    rows = np.array([row for _, row in drawn], np.int64)
    assert np.array_equal(scores_of(keys(scores, rows)).view(np.int32), scores.view(np.int32))
    assert np.array_equal(rows_of(keys(scores, rows)), rows)

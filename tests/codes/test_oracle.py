import numpy as np

from sightbook.codes import oracle


def test_scores_are_the_slow_loop_in_float32_and_the_order_is_score_then_id():
    rng = np.random.default_rng(0)
    table = rng.standard_normal((1, 3, 16), dtype=np.float32)
    codes = rng.integers(0, 16, (40, 3), dtype=np.uint8)
    codes[20:] = codes[:20]
    ids = np.arange(40, dtype=np.int64)[::-1] * 3
    ranked = []
    for n in range(40):
        total = np.float32(0)
        for m in range(3):
            total = np.float32(total + table[0, m, codes[n, m]])
        ranked.append((-float(total), int(ids[n])))
    ranked.sort()
    found, scores = oracle.search(table, codes, 11, ids)
    assert found.tolist() == [[id for _, id in ranked[:11]]]
    assert scores.tolist() == [[-score for score, _ in ranked[:11]]]
    assert (found.dtype, scores.dtype) == (np.int64, np.float32)


def test_a_tie_at_the_last_place_keeps_the_lowest_ids():
    found, scores = oracle.search(np.zeros((2, 1, 16), np.float32), np.zeros((9, 1), np.uint8), 4)
    assert found.tolist() == [[0, 1, 2, 3]] * 2
    assert scores.tolist() == [[0.0] * 4] * 2


def test_more_results_than_codes_give_as_many_as_there_are():
    found, scores = oracle.search(np.zeros((2, 1, 16), np.float32), np.zeros((3, 1), np.uint8), 5)
    assert found.shape == scores.shape == (2, 3)

import numpy as np
import pytest

from sightbook.codes import oracle
from sightbook.codes.tables import Codebooks, assign, reconstruct, spread, symmetric_tables, tables
from sightbook.errors import ConfigError


def draw(N=30, M=5, K=16, d=3, seed=0):
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal((N, M * d), dtype=np.float32),
        rng.standard_normal((M, K, d), dtype=np.float32),
    )


def test_tables_are_the_inner_products_of_sub_vectors_and_codewords():
    x, codebooks = draw()
    expected = np.empty((30, 5, 16))
    for q in range(30):
        for m in range(5):
            for k in range(16):
                expected[q, m, k] = sum(float(x[q, 3 * m + j]) * float(codebooks[m, k, j]) for j in range(3))
    made = tables(x, codebooks)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, expected, atol=1e-6)


@pytest.mark.parametrize("K", [16, 256])
def test_an_entry_does_not_depend_on_the_batch(K):
    x, codebooks = draw(N=200, M=8, K=K, d=16)
    together = tables(x, codebooks)
    alone = np.concatenate([tables(row[None], codebooks) for row in x])
    assert np.array_equal(together.view(np.int32), alone.view(np.int32))
    assert np.array_equal(tables(x[::3], codebooks), together[::3])


def in_order(x, codebooks, metric):
    """Tables (Q, M, K) as `tables` makes them, one component after another, for all queries at once."""
    M, K, d = codebooks.shape
    sub = x.reshape(-1, M, d) if x.shape[1] == M * d else np.stack([x] * M, axis=1)
    total, squares = np.full((len(x), M, K), np.float32(-0.0)), np.zeros((M, K), np.float32)
    for j in range(d):
        part, words = sub[:, :, j, None], codebooks[:, :, j]
        total += (part - words) * (part - words) if metric == "distance" else part * words
        squares += words * words
    if metric == "distance":
        return np.sqrt(total) * np.float32(-1 / spread(codebooks)) + np.float32(1)
    if metric == "near-cosine":
        factor = np.float32(1 / (0.75 * float(squares.mean(dtype=np.float64))))
        return (total - np.float32(0.25) * squares) * factor
    return total


@pytest.mark.parametrize("metric", ["inner", "distance", "near-cosine"])
@pytest.mark.parametrize(
    ("M", "K", "d", "shared"),
    [(8, 256, 256, True), (8, 256, 64, False), (16, 16, 64, False), (3, 5, 7, True), (1, 2, 300, False)],
)
def test_sums_are_made_in_order(metric, M, K, d, shared):
    x, codebooks = draw(N=40, M=M, K=K, d=d)
    x = np.ascontiguousarray(x[:, : d if shared else M * d])
    x[3], codebooks[0, 1] = 0, -np.abs(codebooks[0, 1])  # a table entry of -0
    expected = in_order(x, codebooks, metric)
    books = Codebooks(codebooks, metric)
    assert np.array_equal(books.tables(x).view(np.int32), expected.view(np.int32))
    assert np.array_equal(tables(x[7:8], codebooks, metric).view(np.int32), expected[7:8].view(np.int32))
    assert np.array_equal(books.assign(x), expected.argmax(axis=2))
    assert np.array_equal(assign(x[7:8], codebooks, metric), expected[7:8].argmax(axis=2))


def test_assign_takes_the_largest_entry_and_the_lowest_codeword_of_equals():
    x, codebooks = draw()
    codebooks[:, 9] = codebooks[:, 2]
    codes = assign(x, codebooks)
    assert codes.dtype == np.uint8
    assert np.array_equal(codes, tables(x, codebooks).argmax(axis=2))
    assert not (codes == 9).any()
    assert (codes == 2).any()


def test_chunks_leave_no_seam(monkeypatch):
    x, codebooks = draw(N=100)
    whole, codes = tables(x, codebooks), assign(x, codebooks)
    monkeypatch.setattr("sightbook.codes.tables.CHUNK", 7 * 5 * 16)
    assert np.array_equal(tables(x, codebooks), whole)
    assert np.array_equal(assign(x, codebooks), codes)


def test_reconstruct_puts_the_chosen_codewords_side_by_side():
    x, codebooks = draw()
    codes = assign(x, codebooks)
    expected = [np.concatenate([codebooks[m, row[m]] for m in range(5)]) for row in codes]
    assert np.array_equal(reconstruct(codes, codebooks), np.array(expected))


def test_symmetric_tables_score_the_quantized_query():
    x, codebooks = draw()
    codes = assign(x, codebooks)
    table = symmetric_tables(codes[:1], codebooks)
    quantized = reconstruct(codes, codebooks)
    np.testing.assert_allclose(oracle.score(table[0], codes), quantized @ quantized[0], atol=1e-5)


def test_nobody_scores_above_a_stored_pictures_own_code_with_unit_codewords():
    x, codebooks = draw(N=200)
    codebooks /= np.linalg.norm(codebooks, axis=2, keepdims=True)
    codes = assign(x, codebooks)
    table = tables(x, codebooks)
    assert all(
        oracle.score(table[q], codes).max() == oracle.score(table[q], codes[q : q + 1])[0] for q in range(200)
    )


def test_no_pictures_make_no_tables_and_no_codes():
    x, codebooks = draw(N=0)
    assert tables(x, codebooks).shape == (0, 5, 16)
    assert assign(x, codebooks).shape == (0, 5)
    assert reconstruct(assign(x, codebooks), codebooks).shape == (0, 15)


def test_misfits_are_refused_by_name():
    x, codebooks = draw()
    with pytest.raises(ConfigError, match=r"need \(Q, 15\)"):
        tables(x[:, :14], codebooks)
    with pytest.raises(ConfigError, match=r"\(M, K, d\)"):
        tables(x, codebooks[0])
    with pytest.raises(ConfigError, match="a code of 16"):
        reconstruct(np.full((1, 5), 16, np.uint8), codebooks)
    with pytest.raises(ConfigError, match="5 codebooks"):
        reconstruct(np.zeros((1, 4), np.uint8), codebooks)
    x[7, 2] = np.nan
    with pytest.raises(ConfigError, match="embedding 7"):
        assign(x, codebooks)


def test_near_cosine_lies_between_inner_product_and_squared_distance():
    x, codebooks = draw(d=4)
    found = tables(x, codebooks, "near-cosine")
    parts = x.reshape(30, 5, 1, 4).astype(np.float64)
    words = codebooks[None].astype(np.float64)
    inner = (parts * words).sum(3)
    between = (inner + (inner - (words**2).sum(3) / 2)) / 2
    scale = 0.75 * (codebooks.astype(np.float64) ** 2).sum(2).mean()
    np.testing.assert_allclose(found, between / scale, rtol=1e-5, atol=1e-5)
    # A codeword's own entry is 1 in the mean, and codes hold the codewords of the largest entries.
    own = tables(codebooks.transpose(1, 0, 2).reshape(16, 20), codebooks, "near-cosine")
    assert np.mean([own[k, m, k] for k in range(16) for m in range(5)]) == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_array_equal(assign(x, codebooks, "near-cosine"), between.argmax(2))


def test_near_cosine_orders_codes_as_the_cosine_does_more_than_its_neighbours_do():
    x, codebooks = draw(N=200, M=8, d=4, seed=1)
    codes = np.random.default_rng(2).integers(16, size=(500, 8)).astype(np.uint8)
    stored = reconstruct(codes, codebooks)
    cosine = (x @ stored.T) / np.linalg.norm(stored, axis=1)

    def agreement(metric):
        scores = sum(tables(x, codebooks, metric)[:, m][:, codes[:, m]] for m in range(8))
        best = np.argsort(-cosine, axis=1)[:, :20]
        found = np.argsort(-scores, axis=1)[:, :20]
        return np.mean([len(set(a) & set(b)) / 20 for a, b in zip(best, found, strict=True)])

    assert agreement("near-cosine") > max(agreement("inner"), agreement("distance"))

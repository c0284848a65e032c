import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightbook.codes.pack import bits, code_bytes, pack, unpack
from sightbook.errors import ConfigError


@given(st.data())
def test_unpack_inverts_pack(data):
    M, K, N = (
        data.draw(st.integers(1, 33)),
        data.draw(st.sampled_from([16, 256])),
        data.draw(st.integers(0, 20)),
    )
    codes = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, K, (N, M), dtype=np.uint8)
    packed = pack(codes, K)
    assert packed.shape == (N, code_bytes(M, K))
    assert packed.dtype == np.uint8
    assert np.array_equal(unpack(packed, M, K), codes)


def test_the_low_nibble_comes_first_and_an_odd_m_leaves_the_last_high_nibble_zero():
    assert pack(np.array([[1, 2, 15]], np.uint8), 16).tolist() == [[0x21, 0x0F]]


def test_256_codewords_pack_to_a_copy_of_themselves():
    codes = np.array([[7, 255]], np.uint8)
    packed = pack(codes, 256)
    assert packed.tolist() == [[7, 255]]
    assert not np.shares_memory(packed, codes)


def test_packing_is_the_one_of_faiss():
    faiss = pytest.importorskip("faiss")
    codes = np.random.default_rng(0).integers(0, 16, (50, 7), dtype=np.uint8)
    index = faiss.IndexPQ(7, 7, 4)
    faiss.copy_array_to_vector(np.tile(np.arange(16, dtype=np.float32), 7), index.pq.centroids)
    index.is_trained = True
    assert np.array_equal(index.sa_encode(codes.astype(np.float32)), pack(codes, 16))


@pytest.mark.parametrize(
    ("M", "K", "expected"), [(16, 16, 64), (8, 256, 64), (1, 16, 4), (5, 16, 20), (32, 16, 128)]
)
def test_bits_are_m_log2_k_and_bytes_are_rounded_up(M, K, expected):
    assert bits(M, K) == expected
    assert code_bytes(M, K) == -(-expected // 8)


def test_views_that_are_not_contiguous_pack_alike():
    codes = np.random.default_rng(0).integers(0, 16, (40, 14), dtype=np.uint8)[::2, ::2]
    assert np.array_equal(pack(codes, 16), pack(codes.copy(), 16))
    assert np.array_equal(unpack(np.asfortranarray(pack(codes, 16)), 7, 16), codes)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: bits(4, 32), "K = 32"),
        (lambda: bits(0, 16), "M = 0"),
        (lambda: pack(np.array([[16]], np.uint8), 16), "a code of 16"),
        (lambda: pack(np.zeros((2, 2), np.int64), 16), "int64"),
        (lambda: pack(np.zeros(2, np.uint8), 16), r"\(2,\)"),
        (lambda: unpack(np.zeros((2, 3), np.uint8), 4, 16), r"\(N, 2\)"),
        (lambda: unpack(np.full((1, 2), 255, np.uint8), 3, 16), "damaged"),
    ],
)
def test_what_cannot_be_packed_is_refused_by_name(make, said):
    with pytest.raises(ConfigError, match=said):
        make()

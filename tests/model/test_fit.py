"""Models of vectors: learned without torch, opened, coded, and the same codes on any way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sightbook.codes import tables as lookup
from sightbook.codes.products import clusterings
from sightbook.errors import ConfigError, ModelError
from sightbook.model.fit import fit, share_of
from sightbook.model.model import Model
from tests.describe.test_learn import collection


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return collection()[0]


@pytest.fixture(scope="module")
def model(vectors: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.fit(vectors, tmp_path_factory.mktemp("fit") / "m", bits=64)


def test_it_codes_vectors_and_finds_each_by_its_own_code(model: Model, vectors: np.ndarray) -> None:
    assert (model.bits, model.M, model.K, model.d, model.D) == (64, 8, 256, 48, 48)
    assert model.takes_vectors and model.config.format == 3 and model.config.nested == (16, 32)
    x = model.describe(vectors)
    codes, tables = model.assign(x), model.tables(x)
    np.testing.assert_array_equal(codes, tables.argmax(axis=2))
    scores = sum(tables[:, m][:, codes[:, m]] for m in range(8))
    assert (scores.max(axis=1) <= np.diag(scores) + 1e-6).all()


def test_the_table_is_that_of_the_slow_loop(model: Model, vectors: np.ndarray) -> None:
    x = model.describe(vectors[:3])
    g = 0.75 * float((model.codebooks.astype(float) ** 2).sum(2).mean())
    expected = np.zeros((3, 8, 256))
    for q in range(3):
        for m in range(8):
            for k in range(256):
                c = model.codebooks[m, k].astype(float)
                expected[q, m, k] = (x[q] @ c - 0.25 * c @ c) / g
    np.testing.assert_allclose(model.tables(x), expected, atol=1e-5)
    again = model.symmetric_tables(model.assign(x))
    for q, code in enumerate(model.assign(x)):
        for m in range(8):
            own = model.codebooks[m, code[m]]
            np.testing.assert_allclose(
                again[q, m],
                (model.codebooks[m] @ own - 0.25 * (model.codebooks[m] ** 2).sum(1)) / g,
                atol=1e-5,
            )


def test_a_prefix_is_a_shorter_code_of_the_same_description(model: Model, vectors: np.ndarray) -> None:
    short = model.prefix(16)
    x = short.describe(vectors)
    np.testing.assert_array_equal(x, model.describe(vectors))
    np.testing.assert_array_equal(short.assign(x), model.assign(x)[:, :2])


def test_codes_do_not_depend_on_how_many_are_made_at_once(model: Model, vectors: np.ndarray) -> None:
    """Matrix products decide where they are sure, sums in order everywhere else."""
    x = model.describe(vectors)
    one_by_one = np.concatenate([model.assign(x[i : i + 1]) for i in range(len(x))])
    np.testing.assert_array_equal(model.assign(x), one_by_one)


def test_near_ties_are_left_to_the_sums_in_order(model: Model, vectors: np.ndarray) -> None:
    words = model.codebooks.copy()
    words[:, 1] = words[:, 0] * np.float32(1 + 2**-23)  # a twin of the first, one rounding away
    x = np.concatenate([words[:, 0], model.describe(vectors)])
    _, sure = lookup.Quick(words).assign(np.broadcast_to(x[:, None], (len(x), 8, 48)))
    assert not sure[:8].diagonal().any() and sure[8:].all(axis=1).any()
    np.testing.assert_array_equal(
        lookup.assign(x, words, "near-cosine"), lookup.tables(x, words, "near-cosine").argmax(axis=2)
    )


def test_clusterings_begin_elsewhere_and_come_out_the_same_again() -> None:
    x = np.random.default_rng(0).normal(size=(600, 5)).astype(np.float32)
    words = clusterings(x, 3, 16)
    np.testing.assert_array_equal(words, clusterings(x, 3, 16))
    assert len({np.sort(book[:, 0]).tobytes() for book in words}) == 3
    np.testing.assert_array_equal(words[:2], clusterings(x, 2, 16))
    few = clusterings(x[:4], 1, 16)
    assert {row.tobytes() for row in few[0]} == {row.tobytes() for row in x[:4]}
    with pytest.raises(ValueError, match="no row"):
        clusterings(x[:0], 1, 16)


def test_fine_codes_weigh_more_where_codewords_were_learned_from_few(vectors: np.ndarray) -> None:
    assert [share_of(n) for n in (10_000_000, 1536, 768, 384, 192, 10, 0)] == [
        0.35,
        0.35,
        0.7,
        1.4,
        2.8,
        2.8,
        2.8,
    ]
    rng = np.random.default_rng(3)
    many = (rng.normal(size=(40, 24))[rng.integers(0, 40, 3072)] + 0.5 * rng.normal(size=(3072, 24))).astype(
        np.float32
    )
    weights = [fit(many[:n], 32).fine["weight"] for n in (3072, 1536, 384)]  # type: ignore[index]
    assert abs(weights[1] / weights[0] - 1) < 0.2
    assert 3 < weights[2] / weights[1] < 5


def test_bits_that_do_not_fit_are_refused(vectors: np.ndarray) -> None:
    for bits in (20, 8, 136):
        with pytest.raises(ConfigError, match=f"{bits} bits cannot be made"):
            fit(vectors, bits)


def test_nothing_is_overwritten_and_nothing_left_behind(vectors: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "mine.txt").write_text("x")
    with pytest.raises(ConfigError, match="is not empty: nothing is overwritten"):
        Model.fit(vectors, tmp_path / "m")
    with pytest.raises(ConfigError, match="not finite"):
        Model.fit(vectors * np.nan, tmp_path / "n")
    assert not (tmp_path / "n").exists()


def test_it_takes_no_pictures_and_says_so(model: Model, vectors: np.ndarray) -> None:
    with pytest.raises(ModelError, match=r"learned from vectors of 48 numbers and takes no pictures"):
        model.prepare(b"x")
    with pytest.raises(ConfigError, match="vectors must have 48 numbers each"):
        model.describe(vectors[:, :40])
    with pytest.raises(ConfigError, match="vector 0 holds values that are not finite"):
        model.describe(np.full((1, 48), np.inf))


def test_a_copy_of_what_a_query_needs_opens(model: Model, vectors: np.ndarray, tmp_path: Path) -> None:
    copy = model.copy_to(tmp_path / "copy")
    assert copy.fingerprint == model.fingerprint
    np.testing.assert_array_equal(copy.describe(vectors), model.describe(vectors))
    (tmp_path / "copy" / "description.safetensors").write_bytes(b"short")
    with pytest.raises(ModelError, match=r"description\.safetensors is damaged"):
        Model.open(tmp_path / "copy")


def test_the_same_vectors_give_the_same_model(model: Model, vectors: np.ndarray, tmp_path: Path) -> None:
    assert Model.fit(vectors, tmp_path / "m", bits=64).fingerprint == model.fingerprint


def test_no_torch_is_loaded(vectors: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", vectors)
    program = (
        "import sys, numpy as np; from sightbook import Model; "
        "m = Model.fit(np.load(sys.argv[1]), sys.argv[2]); m.assign(m.describe(np.load(sys.argv[1]))); "
        "assert not {'torch', 'transformers', 'kornia'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "v.npy"), str(tmp_path / "m")], check=True)

"""The codes without learning are what their names say, whatever the machine."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest

from sightbook.evaluate import classic
from sightbook.evaluate.classic import Coded, Unsuitable, itq, lsh, opq, pca_sign, pq, unit, whitened
from sightbook.evaluate.ranking import code_scorer, rank

CODES = {"lsh": lsh, "pca-sign": pca_sign, "itq": itq, "pq": pq, "opq": opq}


def features(count: int, seed: int = 0, F: int = 40) -> np.ndarray:
    """Features in a few clusters, correlated, off centre: like those of a network."""
    random = np.random.default_rng(seed)
    shared = np.random.default_rng(99)
    centres, mixing = shared.normal(size=(8, F)), shared.normal(size=(F, F)) * np.linspace(2, 0.1, F)
    x = centres[random.integers(0, 8, count)] * 3 + random.normal(size=(count, F)) @ mixing + 1.5
    return x.astype(np.float32)


def bits_of(made: Coded) -> np.ndarray:
    """(N, bits) booleans of binary codes."""
    return (made.codes[:, :, None] >> np.arange(4) & 1).astype(bool).reshape(len(made.codes), -1)


@pytest.mark.parametrize("name", list(CODES))
def test_equal_bits_and_the_same_codes_for_any_number_of_threads(name: str) -> None:
    asked, stored = features(7, 1), features(600)
    made = CODES[name](asked, stored, 16)
    M, K = made.tables.shape[1:]
    assert made.symmetric_tables.shape == made.tables.shape == (7, M, K)
    assert M * int(np.log2(K)) == 16 and made.codes.shape == (600, M) and made.codes.max() < K
    before = faiss.omp_get_max_threads()
    for threads in (1, 4):
        faiss.omp_set_num_threads(threads)
        try:
            again = CODES[name](asked, stored, 16)
            assert faiss.omp_get_max_threads() == threads
        finally:
            faiss.omp_set_num_threads(before)
        np.testing.assert_array_equal(again.codes, made.codes)
        np.testing.assert_array_equal(again.tables, made.tables)


@pytest.mark.parametrize("name", ["lsh", "pca-sign", "itq"])
def test_the_symmetric_order_of_binary_codes_is_that_of_hamming_distances(name: str) -> None:
    stored = features(300)
    made = CODES[name](stored[:20], stored, 32)
    bits = bits_of(made)
    distance = (bits[:20, None] != bits[None]).sum(2)
    scores = code_scorer(made.symmetric_tables, made.codes)(0, 20)
    np.testing.assert_allclose(scores, 32 - 2 * distance, atol=1e-5)
    slow = np.argsort(distance, axis=1, kind="stable")
    np.testing.assert_array_equal(rank(scores, 300), slow)


def test_lsh_tells_angles() -> None:
    stored = features(400)
    made = lsh(stored[:30], stored, 128)
    bits = bits_of(made)
    centred = unit(unit(stored) - unit(stored).mean(0))
    angle = np.arccos(np.clip(centred[:30] @ centred.T, -1, 1)) / np.pi
    share = (bits[:30, None] != bits[None]).mean(2)
    assert np.abs(share - angle).mean() < 0.05


def test_components_are_those_of_an_eigenvalue_problem() -> None:
    stored = features(500)
    centred = unit(unit(stored) - unit(stored).mean(0)).astype(np.float64)
    centred -= centred.mean(0)
    _, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    signs = centred @ vectors[:, ::-1][:, :16] > 0
    made = bits_of(pca_sign(stored[:3], stored, 16))
    agreement = (signs == made).mean(0)
    assert (np.maximum(agreement, 1 - agreement) > 0.98).all()  # an axis may point either way
    asked, white = whitened(stored[:3], stored)
    np.testing.assert_allclose(np.linalg.norm(white, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(asked, white[:3], atol=1e-6)


def test_itq_loses_less_by_its_signs_than_the_components_do() -> None:
    stored = features(800)
    _, components = classic.components(stored[:5], stored, 16)
    plain = np.square(unit(components) - np.sign(components) / 4).sum(1).mean()
    with classic.one_thread() as library:
        rotation = library.ITQMatrix(16)
        rotation.train(components)
        turned = rotation.apply(components)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), np.linalg.norm(components, axis=1), rtol=1e-3)
    assert np.square(unit(turned) - np.sign(turned) / 4).sum(1).mean() < plain
    np.testing.assert_array_equal(bits_of(itq(stored[:5], stored, 16)), turned > 0)


@pytest.mark.parametrize(("learn", "F"), [(pq, 40), (pq, 42), (opq, 40)])
def test_the_score_of_products_is_minus_the_squared_distance_up_to_a_constant(learn: object, F: int) -> None:
    asked, stored = features(6, 1, F), features(500, 0, F)
    made = learn(asked, stored, 16)  # type: ignore[operator]
    scores = code_scorer(made.tables, made.codes)(0, 6)
    # Equal codes have equal scores, and each picture's own code is the best its own query can have.
    own = learn(stored[:50], stored, 16)  # type: ignore[operator]
    best = own.tables.max(axis=2).sum(axis=1)
    chosen = np.take_along_axis(own.tables, own.codes[:50, :, None].astype(int), 2)[:, :, 0].sum(1)
    np.testing.assert_allclose(chosen, best, rtol=1e-4, atol=1e-4)
    assert scores.shape == (6, 500)
    assert np.corrcoef(scores.ravel(), (unit(asked) @ unit(stored).T).ravel())[0, 1] > 0.5


@pytest.mark.parametrize("learn", [pq, opq])
@pytest.mark.parametrize(
    ("count", "bits", "shape"),
    [(255, 32, (8, 16)), (256, 32, (4, 256)), (446, 64, (8, 256)), (446, 20, (5, 16))],
)
def test_products_have_256_codewords_wherever_there_are_pictures_for_them(
    learn: object, count: int, bits: int, shape: tuple[int, int]
) -> None:
    made = learn(features(3, 1), features(count), bits)  # type: ignore[operator]
    assert made.tables.shape[1:] == shape


def test_a_rotation_makes_products_better_where_features_hang_together() -> None:
    asked, stored = features(60, 1), features(2000)
    exact = unit(asked - stored.mean(0)) @ unit(stored - stored.mean(0)).T

    def error(learn: object) -> float:
        made = learn(asked, stored, 16)  # type: ignore[operator]
        scores = code_scorer(made.tables, made.codes)(0, 60)
        return -float(np.corrcoef(scores.ravel(), exact.ravel())[0, 1])

    assert error(opq) < error(pq)


def test_a_rotation_is_learned_from_fewer_pictures_than_features() -> None:
    # faiss left by a memory fault when it was to turn 64 rows into 128 numbers.
    made = opq(features(5, 1, 128), features(64, 0, 128), 64)
    assert made.codes.shape == (64, 16)
    assert len(np.unique(made.codes, axis=0)) > 32


@pytest.mark.parametrize(
    ("learn", "count", "bits", "reason"),
    [
        (itq, 300, 64, "300 pictures of 40 features have fewer than 64 principal components"),
        (pca_sign, 20, 32, "20 pictures of 40 features have fewer than 32 principal components"),
        (pq, 9, 16, "9 pictures are too few to learn 16 codewords"),
        (opq, 100, 96 * 4, "100 pictures of 40 features cannot be cut into 96 sub-vectors"),
    ],
)
def test_what_cannot_be_learned_says_why(learn: object, count: int, bits: int, reason: str) -> None:
    with pytest.raises(Unsuitable, match=reason):
        learn(features(3, 1), features(count), bits)  # type: ignore[operator]


def test_evaluate_stands_them_beside_a_model(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    import sightbook
    from sightbook.errors import ConfigError
    from sightbook.evaluate.run import evaluate
    from sightbook.model.model import Model
    from tests.learn.conftest import BACKBONES, TINY
    from tests.pictures import write_photos

    kinds = write_photos(tmp_path / "photos", 120, side=16)
    rows = "".join(f"{name},{kind}\n" for name, kind in kinds.items())
    (tmp_path / "labels.csv").write_text("file,label\n" + rows)
    settings = {**TINY, "backbone": BACKBONES["resnet"]}
    sightbook.train(tmp_path / "photos", tmp_path / "m", epochs=0, settings=settings, jobs=1)
    given = {"labels": tmp_path / "labels.csv", "jobs": 1}
    report = evaluate(tmp_path / "m", "labelled", tmp_path / "photos", baselines=["all"], **given)
    assert set(report.baselines) == {"float", "thumbnail", "random", "features", "features-pca", *CODES}
    assert {report.baselines[name].bits for name in CODES} == {16}
    chance = report.baselines["random"].map
    assert all(report.baselines[name].map > chance for name in CODES)
    model = Model.open(tmp_path / "m")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    x, raw = model.embed_with_features(pixels)
    np.testing.assert_array_equal(x, model.embed(pixels))
    assert raw.shape == (3, model.config.features) == (3, 16)
    text = report.text()
    assert "the features, ITQ" in text and "exact float search, backbone's features" in text
    with pytest.raises(
        ConfigError, match="unknown baseline 'simhash': use any of float, thumbnail, features"
    ):
        evaluate(tmp_path / "m", "labelled", tmp_path / "photos", baselines=["simhash"], **given)

"""The thumbnail baseline is what it says, and the same on every run."""

from __future__ import annotations

import numpy as np
import pytest

from sightbook.evaluate.classic import Unsuitable
from sightbook.evaluate.ranking import code_scorer
from sightbook.evaluate.thumbnails import quantize
from sightbook.images.pixels.thumbnail import thumbnail
from tests.pictures import KINDS, picture


def thumbnails(count: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.stack([thumbnail(picture(KINDS[i % 6], random)) for i in range(count)])


def test_a_thumbnail_is_the_mean_of_each_cell() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    means = pixels.reshape(8, 4, 8, 4, 3).mean(axis=(1, 3))
    # Pillow rounds twice, once along each axis.
    assert np.abs(thumbnail(pixels).reshape(8, 8, 3) - means).max() < 1


@pytest.mark.parametrize(
    ("bits", "N", "shape"),
    [(16, 255, (4, 16)), (64, 200, (16, 16)), (12, 300, (3, 16)), (16, 256, (2, 256)), (64, 300, (8, 256))],
)
def test_codes_have_the_bits_asked_for(bits: int, N: int, shape: tuple[int, int]) -> None:
    made = quantize(thumbnails(5, 1), thumbnails(N, 2), bits)
    assert made.tables.shape == made.symmetric_tables.shape == (5, *shape)
    assert made.codes.shape == (N, shape[0])
    assert made.codes.max() < shape[1]


def test_scores_are_minus_squared_distances_up_to_the_querys_constant() -> None:
    database = thumbnails(300, 2)
    made = quantize(database[:4], database, 64)
    symmetric = code_scorer(made.symmetric_tables, made.codes)(0, 4)
    # A picture's own code is nearest to itself, whatever the others are.
    assert (symmetric.max(axis=1) == symmetric[np.arange(4), np.arange(4)]).all()


def test_the_codes_are_the_same_on_every_run() -> None:
    queries, database = thumbnails(5, 1), thumbnails(200, 2)
    one, two = quantize(queries, database, 32), quantize(queries, database, 32)
    assert (one.codes == two.codes).all()
    assert (one.tables == two.tables).all()


def test_too_few_pictures_give_no_codes_and_equal_ones_no_error() -> None:
    with pytest.raises(Unsuitable, match="15 pictures are too few to learn 16 codewords"):
        quantize(thumbnails(2, 1), thumbnails(15, 2), 16)
    for count in (40, 300):
        grey = np.full((count, 192), 128, np.uint8)
        made = quantize(grey[:2], grey, 16)
        assert np.isfinite(made.tables).all()

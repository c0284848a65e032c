"""The fixed view."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sightbook.errors import ConfigError
from sightbook.images.pixels.frame import Frame
from tests.images.pictures import gradient


@pytest.mark.parametrize("resample", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("width", "height"), [(64, 32), (32, 64), (128, 64), (96, 96), (400, 200)])
def test_it_equals_resizing_all_and_cropping_the_centre(width: int, height: int, resample: str) -> None:
    # Sizes where neither the long side nor the crop is rounded.
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    frame = Frame(24, 32, resample)  # type: ignore[arg-type]
    scale = 32 / min(width, height)
    whole = Image.fromarray(pixels).resize(
        (round(width * scale), round(height * scale)), getattr(Image.Resampling, resample.upper())
    )
    left, top = (whole.width - 24) // 2, (whole.height - 24) // 2
    expected = np.asarray(whole)[top : top + 24, left : left + 24]
    assert np.abs(frame.apply(Image.fromarray(pixels)).astype(int) - expected).max() <= 1


def test_the_crop_is_centred_and_keeps_proportions() -> None:
    seen = Frame(10, 10).apply(Image.fromarray(gradient(1000, 100))).astype(int)
    # Of red 0 … 255 over 1,000 columns the middle tenth remains.
    assert (
        np.abs(seen[:, 0, 0] - 255 * 454.5 / 999).max() <= 2
        and np.abs(seen[:, -1, 0] - 255 * 544.5 / 999).max() <= 2
    )
    # Rows not at the border, where the filter sees a part of its window only.
    assert abs(seen[1, 0, 1] - 255 * 14.5 / 99) <= 1 and abs(seen[8, 0, 1] - 255 * 84.5 / 99) <= 1


def test_a_picture_of_the_right_size_is_untouched() -> None:
    pixels = gradient(32, 32)
    assert np.array_equal(Frame(32, 40).apply(Image.fromarray(pixels)), pixels)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50000), (50000, 1), (3, 7), (33, 32)])
def test_any_shape_fits(shape: tuple[int, int]) -> None:
    frame = Frame(32, 36, "bicubic")
    seen = frame.apply(Image.fromarray(np.full((*shape, 3), 77, np.uint8)))
    assert seen.shape == (32, 32, 3) and seen.dtype == np.uint8 and (seen == 77).all()


@pytest.mark.parametrize("settings", [(0, 5), (-1, -1), (10, 9), (8, 8, "nearest")])
def test_settings_that_do_not_fit_are_refused(settings: tuple[int, int]) -> None:
    with pytest.raises(ConfigError):
        Frame(*settings)

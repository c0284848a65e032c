from __future__ import annotations

import numpy as np
import pytest
import torch

from sightbook.learn.settings.sections import ViewsConfig
from sightbook.learn.views import Views
from tests.learn.conftest import pictures

MEAN, STD = (0.5, 0.25, 0.75), (0.5, 0.25, 0.125)
STILL = ViewsConfig(crop_min=1.0, flip=0.0, jitter=0.0, hue=0.0, grey=0.0, blur=0.0)


def views(config: ViewsConfig = ViewsConfig(), size: int = 16) -> Views:
    return Views(config, size, MEAN, STD)


def test_the_fixed_view_is_the_centre_scaled_by_mean_and_deviation() -> None:
    raw = pictures(3)
    fixed = views(size=12).fixed(torch.from_numpy(raw)).numpy()
    by_hand = (raw[:, 2:14, 2:14] / 255.0 - np.array(MEAN)) / np.array(STD)
    np.testing.assert_allclose(fixed, by_hand.transpose(0, 3, 1, 2), atol=1e-5)


def test_two_views_of_a_picture_stand_B_rows_apart() -> None:
    colours = np.zeros((3, 16, 16, 3), np.uint8)
    colours[0], colours[1], colours[2] = (255, 0, 0), (0, 255, 0), (10, 20, 30)
    drawn = views(STILL)(torch.from_numpy(colours)).numpy()
    assert drawn.shape == (6, 3, 16, 16)
    for row in range(6):
        expected = (colours[row % 3, 0, 0] / 255.0 - np.array(MEAN)) / np.array(STD)
        np.testing.assert_allclose(
            drawn[row], np.broadcast_to(expected[:, None, None], (3, 16, 16)), atol=1e-4
        )


def test_a_view_may_be_smaller_than_the_fixed_view() -> None:
    small = views(ViewsConfig(size=8, blur=0.5))
    assert small(torch.from_numpy(pictures(3))).shape == (6, 3, 8, 8)
    assert small.fixed(torch.from_numpy(pictures(3))).shape == (3, 3, 16, 16)


def test_the_seed_decides_the_views() -> None:
    batch = torch.from_numpy(pictures(4))
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append(views(ViewsConfig(blur=0.5))(batch))
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
    assert not torch.equal(made[0][:4], made[0][4:])


@pytest.mark.parametrize(
    ("setting", "changes"),
    [({"flip": 1.0}, "flip"), ({"grey": 1.0}, "grey"), ({"jitter": 0.4, "jitter_share": 1.0}, "colour")],
)
def test_each_setting_does_what_it_says(setting: dict[str, float], changes: str) -> None:
    batch = torch.from_numpy(pictures(4))
    torch.manual_seed(3)
    still = views(STILL)
    changed = views(STILL.model_copy(update=setting))
    # The crop is drawn first, so that the same seed crops alike; a flip comes after it.
    torch.manual_seed(3)
    before = still(batch)
    torch.manual_seed(3)
    after = changed(batch)
    assert not torch.allclose(before, after, atol=1e-3)
    if changes == "flip":
        torch.testing.assert_close(after, before.flip(3), rtol=0, atol=1e-4)
    if changes == "grey":
        pixels = after * after.new_tensor(STD).view(1, 3, 1, 1) + after.new_tensor(MEAN).view(1, 3, 1, 1)
        torch.testing.assert_close(pixels[:, 0], pixels[:, 1], rtol=0, atol=1e-4)
        torch.testing.assert_close(pixels[:, 1], pixels[:, 2], rtol=0, atol=1e-4)

"""The verdict by halves: what agreement is, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import sightbook
from sightbook.errors import SourceError
from sightbook.learn import halves, judged
from sightbook.learn.halves import Share, agreement, compare, cut, share
from sightbook.learn.judged import BEFORE, BUILTIN, LEARNED, THUMBNAILS, Judged
from sightbook.model.model import Model
from tests.learn.conftest import GOOD, Train
from tests.pictures import KINDS, picture, write_photos

RANDOM = np.random.default_rng(0)


def scores(n: int) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, n)).astype(np.float32)


def test_agreement_is_the_share_of_the_nearest_others_that_both_name() -> None:
    for n in (3, 8, 40):
        left, right = scores(n), scores(n + 1)[:n, :n].copy()
        k = halves.nearest_of(n)
        expected = []
        for number in range(n):
            near = [
                set(sorted((m for m in range(n) if m != number), key=lambda m: (-s[number, m], m))[:k])
                for s in (left, right)
            ]
            expected.append(len(near[0] & near[1]) / k)
        np.testing.assert_allclose(agreement(left, right), expected)
    assert (agreement(scores(20), scores(20)) == 1).all()


def test_chance_agrees_as_often_as_is_said() -> None:
    found = agreement(scores(400), scores(401)[:400, :400].copy())
    told = share(found)
    assert told.chance == 10 / 399 and told.low <= told.chance <= told.high
    assert compare(found, found) == (0.0, 0.0)


def test_halves_are_cut_where_they_meet_and_lose_their_colours() -> None:
    pictures = np.zeros((20, 16, 16, 3), np.uint8)
    pictures[:, :, :8], pictures[:, :, 8:] = (200, 30, 30), (30, 200, 30)
    left, right = cut(pictures)
    assert left.shape == right.shape == pictures.shape and left.dtype == np.uint8
    assert all(len(np.unique(half.reshape(-1, 3), axis=0)) == 1 for half in (*left, *right)), (
        "no half shows the other"
    )
    grey = [bool((half[..., 0] == half[..., 1]).all()) for half in (*left, *right)]
    assert 8 <= sum(grey) <= 32, "about half of them lose all colour"
    again = cut(pictures)
    assert (again[0] == left).all() and (again[1] == right).all()


def test_what_looks_at_shapes_agrees_more_than_what_looks_at_colours() -> None:
    """Made-up pictures whose kind is in both halves and whose colours are not told by it."""
    pictures = np.stack([picture(KINDS[n % 3], RANDOM) for n in range(90)])

    def stripes(half: np.ndarray) -> np.ndarray:
        grey = half.astype(np.float32).mean(axis=3)
        across, down = (np.abs(np.diff(grey, axis=axis)).mean(axis=(1, 2)) for axis in (1, 2))
        return np.stack([across, down], axis=1) / (across + down + 1e-6)[:, None]

    found = judged.agreements(
        pictures,
        {LEARNED: halves.by_floats(stripes), THUMBNAILS: halves.thumbnails, BEFORE: halves.thumbnails},
    )
    told = judged.judge(found)
    assert told is not None and told.helped and told.beaten_by == []
    assert told.shares[LEARNED].mean > 1.5 * told.shares[THUMBNAILS].mean
    assert Judged.of(told.to_json()).to_json() == told.to_json()


def test_training_is_held_against_thumbnails_and_the_network_it_began_with(
    train: Train, photos: Path, tmp_path: Path
) -> None:
    report = train(photos, tmp_path / "m", epochs=1)
    told = Model.open(tmp_path / "m").config.verdict["halves"]
    assert set(told["shares"]) == {LEARNED, BEFORE, THUMBNAILS}, "16 pixels show the built-in network nothing"
    assert told["pictures"] == GOOD and "colour thumbnails" in report.sentence
    untrained = train(photos, tmp_path / "u", epochs=0)
    same = untrained.verdict["halves"]
    assert same["gains"][BEFORE] == [0, 0] and same["shares"][LEARNED] == same["shares"][BEFORE]
    silent = train(photos, tmp_path / "s", epochs=0, judge=False)
    assert silent.verdict["halves"] is None


def test_from_scratch_on_photos_the_built_in_network_stands_beside(train: Train, tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 36, side=96)
    wide = {"kind": "resnet", "stem_width": 16, "stem_stride": 1, "widths": [16, 32], "depths": [1, 1]}
    settings = {"size": 72, "resize": 72, "backbone": wide}
    report = train(tmp_path / "photos", tmp_path / "m", epochs=1, settings=settings)
    assert BUILTIN in report.verdict["halves"]["shares"] and "the built-in network" in report.sentence


@pytest.mark.parametrize(("side", "judged_by_halves"), [(96, True), (32, False)])
def test_closed_form_is_held_against_features_and_thumbnails_where_pictures_are_large_enough(
    side: int, judged_by_halves: bool, tmp_path: Path
) -> None:
    write_photos(tmp_path / "photos", 36, side=side)
    report = sightbook.train(tmp_path / "photos", tmp_path / "m", backbone="builtin", bits=16, jobs=1)
    if judged_by_halves:
        assert set(report.verdict["halves"]["shares"]) == {LEARNED, BEFORE, THUMBNAILS}
        assert "the network's features as they are" in report.sentence
    else:
        assert report.verdict["halves"] is None and "two halves of a picture" not in report.sentence


def test_a_source_that_goes_before_the_verdict_costs_the_verdict_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photos(tmp_path / "photos", 36, side=96)

    def gone(*_: object, **__: object) -> Iterator[None]:
        raise SourceError("photos is gone")
        yield

    monkeypatch.setattr("sightbook.learn.closed.load", gone)
    report = sightbook.train(tmp_path / "photos", tmp_path / "m", backbone="builtin", bits=16, jobs=1)
    assert report.verdict["halves"] is None and Model.open(tmp_path / "m").bits == 16


def of(gains: dict[str, tuple[float, float]], pictures: int = 300) -> Judged:
    shares = {name: Share(0.2, 0.18, 0.22, 0.03) for name in (LEARNED, *gains)}
    return Judged(pictures, shares, gains)


@pytest.mark.parametrize(
    ("before", "thumbnails", "pictures", "lead"),
    [
        ((0.05, 0.1), (0.02, 0.05), 300, "Training helped"),
        ((0.05, 0.1), (-0.02, 0.05), 300, "Training helped, but colour thumbnails may be as good"),
        ((0.05, 0.1), (-0.09, -0.05), 300, "Training did not help enough: colour thumbnails are better"),
        ((-0.01, 0.1), (0.02, 0.05), 300, "Whether training helped cannot be told"),
        ((-0.1, -0.01), (0.02, 0.05), 300, "Training did not help"),
        ((0.05, 0.1), (0.02, 0.05), 29, "Too few pictures to tell whether training helped"),
    ],
)
def test_a_model_is_never_praised_above_what_is_simpler(
    before: tuple[float, float], thumbnails: tuple[float, float], pictures: int, lead: str
) -> None:
    assert of({BEFORE: before, THUMBNAILS: thumbnails}, pictures).lead("Training") == lead


def test_a_better_network_at_hand_is_named() -> None:
    assert "without --model" in of({BEFORE: (0.1, 0.2), BUILTIN: (-0.2, -0.1)}).advice
    assert of({BEFORE: (0.1, 0.2), BUILTIN: (-0.2, 0.1)}).advice == ""


def test_two_pictures_have_no_neighbours_to_speak_of() -> None:
    assert judged.judge({LEARNED: np.ones(2), BEFORE: np.ones(2)}) is None
    assert judged.judge({LEARNED: np.ones(3), BEFORE: np.ones(3)}) is not None

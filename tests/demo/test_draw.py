"""The drawn collection: repeatable, balanced, and not to be solved by colours or names."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightbook.demo.draw import collection, draw
from sightbook.demo.kinds import KINDS
from sightbook.progress import Notice, Progress


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_there_are_twelve_kinds() -> None:
    assert len(KINDS) == 12


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_generator_state_draws_the_same_picture(kind: str) -> None:
    first, second, other = (draw(kind, np.random.default_rng(seed), 32) for seed in (5, 5, 6))
    assert first.shape == (32, 32, 3) and first.dtype == np.uint8
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("kind", KINDS)
def test_every_picture_shows_its_shape(kind: str) -> None:
    """Without the shape the same generator state draws the ground alone; it must differ visibly in every picture."""
    for seed in range(40):
        shape, turn, fills = KINDS[kind]
        with_shape = draw(kind, np.random.default_rng(seed), 48).astype(int)
        KINDS[kind] = (lambda pen, rng: None, turn, fills)
        try:
            ground = draw(kind, np.random.default_rng(seed), 48).astype(int)
        finally:
            KINDS[kind] = (shape, turn, fills)
        assert np.mean(np.abs(with_shape - ground).max(axis=2) > 40) > 0.02, seed


def test_a_collection_has_every_kind_equally_often_under_names_that_do_not_tell(tmp_path: Path) -> None:
    made = collection(tmp_path, database=48, queries=12, side=24, seed=3)
    listed = rows(made.kinds)
    assert Counter(row["label"] for row in listed) == dict.fromkeys(KINDS, 5)
    assert [row["file"].split("/")[0] for row in listed] == ["train"] * 48 + ["test"] * 12
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    assert files == sorted(row["file"] for row in listed)
    assert files[0] == "test/000048.png" and files[-1] == "train/000047.png"
    with Image.open(tmp_path / files[0]) as picture:
        assert picture.size == (24, 24) and picture.mode == "RGB"
    # Order tells nothing either: neighbours share their kind about once in twelve.
    kinds = [row["label"] for row in listed]
    assert sum(a == b for a, b in itertools.pairwise(kinds)) < 15


def test_the_same_seed_gives_the_same_files_and_another_seed_others(tmp_path: Path) -> None:
    contents = []
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        collection(tmp_path / folder, database=6, queries=2, side=16, seed=seed)
        contents.append(b"".join(path.read_bytes() for path in sorted((tmp_path / folder).rglob("*.png"))))
    assert contents[0] == contents[1] != contents[2]


def test_colour_thumbnails_do_not_tell_the_kinds() -> None:
    """Nearest neighbour by 8x8 thumbnail: chance is 1/12 = .083; a solved collection would be near 1."""
    rng = np.random.default_rng(0)
    names = list(KINDS)
    kinds = np.arange(720) % 12
    thumbs = np.stack([
        np.asarray(Image.fromarray(draw(names[kind], rng, 32)).resize((8, 8), Image.Resampling.BOX)).reshape(-1)
        for kind in kinds
    ]).astype(np.float32)  # fmt: skip
    thumbs -= thumbs.mean(axis=0)
    thumbs /= np.linalg.norm(thumbs, axis=1, keepdims=True)
    scores = thumbs @ thumbs.T
    np.fill_diagonal(scores, -np.inf)
    right = float(np.mean(kinds[scores.argmax(axis=1)] == kinds))
    assert right < 0.35


def test_drawing_reports_its_progress(tmp_path: Path) -> None:
    events: list[Progress | Notice] = []
    collection(tmp_path, database=10, queries=2, side=16, listener=events.append)
    last = events[-1]
    assert isinstance(last, Progress)
    assert (last.stage, last.done, last.total, last.finished) == ("draw", 12, 12, True)

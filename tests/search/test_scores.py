"""What a library's scores mean, whatever the metric: 1 the same picture, 0 the average one, through every change."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sightbook.library.library import Library
from sightbook.model.model import Model
from sightbook.search.hit import Hit
from tests.library.pictures import fill, picture, write
from tests.tiny import tiny_described, tiny_model, tiny_vectors_model

# A picture's embedding is computed alone as a query, and among others when it is stored: their last bits may differ.
CLOSE = 1e-4


@pytest.fixture(params=["inner", "distance", "near-cosine", "fine", "fine kept out"], scope="module")
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, bool]:
    """A model of each metric and kind, and whether its libraries keep fine codes."""
    folder, kind = tmp_path_factory.mktemp("m"), request.param
    if kind.startswith("fine"):
        made = tiny_described(folder)
    else:
        made = tiny_model(folder, metric=kind)
    return Model.open(made, threads=1), kind == "fine"


def opened(place: Path, model: tuple[Model, bool]) -> Library:
    return Library.open(place, create_with=model[0], fine=model[1])


def own(hits: list[Hit], name: str) -> float:
    return next(hit.score for hit in hits if hit.path == name)


def check_scores(library: Library, photos: Path, names: list[str]) -> None:
    """Each of the names finds itself with a score of 1, and the mean over all pictures is 0."""
    count = len(library)
    for name in names:
        hits = library.search(photos / name, k=count)
        assert own(hits, name) == pytest.approx(1, abs=CLOSE)
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True) and scores[0] <= 1
        assert np.mean(scores) == pytest.approx(0, abs=1e-3 if library.facts.fine else 1e-6)
        raw = [(hit.raw, hit.score) for hit in hits]
        assert all(b[1] < a[1] or a[1] == 1 for a, b in pairwise(raw) if b[0] < a[0])
        json.dumps([asdict(hit) for hit in hits], allow_nan=False)


def test_the_same_picture_scores_one_and_the_average_picture_zero(
    tmp_path: Path, place: Path, model: tuple[Model, bool]
) -> None:
    photos = fill(tmp_path / "p", 30)
    with opened(place, model) as library:
        library.add(photos, jobs=1)
        check_scores(library, photos, ["000.png", "011.png", "029.png"])


def test_also_after_pictures_were_added_changed_and_removed(
    tmp_path: Path, place: Path, model: tuple[Model, bool]
) -> None:
    photos = fill(tmp_path / "p", 20)
    with opened(place, model) as library:
        library.add(photos, jobs=1)
        before = library.search(photos / "003.png", k=20)
        for n in range(10, 35):  # ten of them new pictures under known names
            write(photos / f"{n:03}.png", picture(n + 100), 1_700_000_009)
        library.add(photos, jobs=1)
        check_scores(library, photos, ["003.png", "019.png", "034.png"])
        library.remove(["004.png", "018.png", "020.png"])
        check_scores(library, photos, ["003.png", "019.png", "034.png"])
        after = library.search(photos / "019.png", k=99)
        assert len(after) == 32 and {hit.path for hit in before} != {hit.path for hit in after}


def test_one_picture_scores_one_when_it_is_the_query_and_else_zero_or_one(
    tmp_path: Path, place: Path, model: tuple[Model, bool]
) -> None:
    photos = fill(tmp_path / "p", 1)
    with opened(place, model) as library:
        assert library.search(photos / "000.png") == []
        library.add(photos, jobs=1)
        (same,) = library.search(photos / "000.png")
        assert f"{same.score:z.3f}" == "1.000"
        others = [library.search(picture(n))[0].score for n in range(1, 9)]
        assert {f"{score:z.3f}" for score in others} <= {"0.000", "1.000"}
        assert [f"{score:z.3f}" for score in others].count("0.000") >= 6
        library.remove("000.png")
        assert library.search(photos / "000.png") == []


def test_pictures_that_are_all_equal_score_one_or_zero(
    tmp_path: Path, place: Path, model: tuple[Model, bool]
) -> None:
    for n in range(5):
        write(tmp_path / "p" / f"{n}.png", picture(7))
    with opened(place, model) as library:
        library.add(tmp_path / "p", jobs=1)
        same = library.search(picture(7))
        assert [f"{hit.score:.3f}" for hit in same] == ["1.000"] * 5
        assert [hit.id for hit in same] == sorted(hit.id for hit in same)
        other = library.search(picture(8))
        assert {f"{hit.score:z.3f}" for hit in other} == {"0.000"}


def test_a_choice_of_pictures_and_a_shorter_scan_are_on_the_scale_of_the_whole_library(
    tmp_path: Path, place: Path
) -> None:
    model = Model.open(tiny_described(tmp_path / "m"), threads=1)
    photos = fill(tmp_path / "p", 30)
    with Library.open(place, create_with=model) as library:
        library.add(photos, jobs=1)
        every = {hit.id: hit for hit in library.search(photos / "002.png", 30)}
        chosen = library.search(photos / "002.png", 30, among=[3, 9, 20])
        assert len(chosen) == 3 and all(hit.score == every[hit.id].score for hit in chosen)
        scanned = library.search(photos / "002.png", 30, scan_bits=16)
        assert all((hit.raw, hit.score) == (every[hit.id].raw, every[hit.id].score) for hit in scanned)
        short = library.search(photos / "002.png", 30, fine=False)
        assert np.mean([hit.score for hit in short]) == pytest.approx(0, abs=1e-6)
        assert own(short, "002.png") == pytest.approx(1, abs=CLOSE)
        assert [hit.raw for hit in short] != [hit.raw for hit in every.values()]


def test_a_vector_of_the_library_scores_exactly_one_alone_and_beside_others(
    tmp_path: Path, place: Path
) -> None:
    rows = np.random.default_rng(3).normal(size=(60, 12)).astype(np.float32)
    np.save(tmp_path / "v.npy", rows)
    fitted = Model.fit(rows, tmp_path / "fine", bits=32)
    for model in (Model.open(tiny_vectors_model(tmp_path / "m", F=12)), fitted):
        folder = place / model.fingerprint[:6]
        with Library.open(folder, create_with=model) as library:
            library.add(tmp_path / "v.npy")
            together = library.search_vectors(rows, 60)
            assert [hit.score for hit in together if hit.path == str(hit.query)] == [1.0] * 60
            for q in (0, 33):
                alone = library.search_vectors(rows[q], 60)
                assert [hit.score for hit in alone] == [hit.score for hit in together if hit.query == q]
            x = model.describe(rows)
            assert library.search_embeddings(x, 60) == together

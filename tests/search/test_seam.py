"""Where searching can be extended by public parts alone: a filter before the engine, a re-ranker behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sightbook.errors import ConfigError, PictureError
from sightbook.library.library import Library
from sightbook.model.model import Model
from sightbook.search.hit import Hit
from tests.library.pictures import fill, picture


@pytest.fixture
def library(tmp_path: Path, place: Path, model: Model) -> Iterator[Library]:
    with Library.open(place, create_with=model) as opened:
        opened.add([fill(tmp_path / "p", 30)], jobs=1)
        yield opened


def accepted(library: Library, fits: Callable[[str], bool]) -> list[int]:
    """A toy filter: the ids of pictures whose path fits."""
    return [row[0] for page in library.rows(7) for row in page if fits(row[2])]


def test_a_filter_chooses_what_is_searched_among(library: Library) -> None:
    even = accepted(library, lambda path: int(path[:3]) % 2 == 0)
    every = library.search(picture(3), 30)
    found = library.search(picture(3), 5, among=even)
    assert [hit.path for hit in found] == [hit.path for hit in every if int(hit.path[:3]) % 2 == 0][:5]
    assert [hit.rank for hit in found] == [1, 2, 3, 4, 5]


def test_a_re_ranker_orders_more_hits_than_are_wanted(library: Library) -> None:
    (hits,) = library.search_many([picture(3)], 20)
    by_name = sorted(hits, key=lambda hit: hit.path)[:4]
    assert [hit.path for hit in by_name] == sorted(hit.path for hit in hits)[:4]


def test_several_questions_have_one_list_of_hits_each(library: Library) -> None:
    queries = [picture(3), picture(8), picture(1)]
    many = library.search_many(queries, k=4)
    assert [[hit.query for hit in hits] for hits in many] == [[0] * 4, [1] * 4, [2] * 4]
    for query, hits in zip(queries, many, strict=True):
        alone: list[Hit] = library.search(query, k=4)
        assert [(hit.rank, hit.id, hit.raw) for hit in hits] == [(hit.rank, hit.id, hit.raw) for hit in alone]
    assert library.search(queries, k=4) == [hit for hits in many for hit in hits], "the older form"
    assert library.search_many(queries, k=4, among=[]) == [[], [], []]


def test_a_question_that_cannot_be_asked_says_why(library: Library) -> None:
    with pytest.raises(PictureError, match="no query picture was given"):
        library.search_many([])
    with pytest.raises(PictureError, match="1 of 2 query pictures, numbered from 0, cannot be read: query 1"):
        library.search_many([picture(1), b"text"])
    with pytest.raises(ConfigError, match="k is 0"):
        library.search_many([picture(1)], k=0)


def test_fine_codes_that_are_not_kept_are_not_asked_for_in_vain(library: Library) -> None:
    with pytest.raises(ConfigError, match="keeps no fine codes: leave `fine` out"):
        next(library.rows(7, fine=True))


@pytest.mark.parametrize(("count", "at_once"), [(5, 2), (6, 3), (2, 9)])
def test_of_many_questions_the_pixels_of_some_are_held(
    library: Library, monkeypatch: pytest.MonkeyPatch, count: int, at_once: int
) -> None:
    queries = [picture(n) for n in range(count)]
    whole = library.search_many(queries, k=4)
    lengths: list[int] = []
    real = Model.embed

    def embed(self: Model, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        lengths.append(len(pixels))
        return real(self, pixels)

    monkeypatch.setattr(Model, "embed", embed)
    monkeypatch.setattr("sightbook.search.query._AT_ONCE", at_once)
    assert library.search_many(queries, k=4) == whole
    assert sum(lengths) == count and max(lengths) <= at_once
    bad = [b"text", *queries, b"more text"]
    with pytest.raises(PictureError) as raised:
        library.search_many(bad)
    assert raised.value.queries == (0, count + 1), "each by its number, wherever it stands"

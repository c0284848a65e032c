"""Ids in every form that users have them in, wherever ids are taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightbook.errors import ConfigError, LibraryError
from sightbook.library.library import Library
from sightbook.model.model import Model
from tests.library.pictures import fill, picture


@pytest.fixture
def library(tmp_path: Path, place: Path, model: Model) -> Iterator[Library]:
    with Library.open(place, create_with=model) as library:
        library.add([fill(tmp_path / "p", 8)])
        yield library


def among(library: Library, ids: Any) -> list[int]:
    return sorted(hit.id for hit in library.search(picture(0), 100, among=ids))


_FORMS: list[Callable[[], Any]] = [
    lambda: [2, 5, 5],
    lambda: (2, 5),
    lambda: {5, 2},
    lambda: np.array([5, 2]),
    lambda: np.array([2, 5], np.uint8),
    lambda: np.array([2, 5], object),
    lambda: [np.int64(2), np.int32(5)],
    lambda: (n for n in (5, 2)),
    lambda: range(2, 6, 3),
    {2: "a", 5: "b"}.keys,
]


@pytest.mark.parametrize("form", range(len(_FORMS)))
def test_ids_are_the_same_in_every_form(library: Library, form: int) -> None:
    assert among(library, _FORMS[form]()) == [2, 5]
    assert library.remove(_FORMS[form]()) == 2
    assert among(library, range(100)) == [1, 3, 4, 6, 7, 8]


@pytest.mark.parametrize(
    "mask",
    [
        np.array([False, True, False, False, False, False, False, False]),
        [False, True],
        [np.True_],
        [1, True],
        np.array([True, 2], object),
    ],
)
def test_a_mask_is_refused_wherever_ids_are_taken(library: Library, mask: Any) -> None:
    for take in (lambda: among(library, mask), lambda: library.remove(mask)):
        with pytest.raises(
            ConfigError, match=r"holds truth values \(a mask\), and ids are meant.*`ids\[mask\]`"
        ):
            take()
    assert len(library) == 8


@pytest.mark.parametrize("one", [True, np.True_, np.array(True)])
def test_one_truth_value_is_no_id(library: Library, one: Any) -> None:
    with pytest.raises(ConfigError, match="truth values"):
        library.remove(one)
    assert len(library) == 8


@pytest.mark.parametrize("one", [3, np.int64(3), np.uint16(3), np.array(3)])
def test_one_id_is_removed(library: Library, one: Any) -> None:
    assert library.remove(one) == 1
    assert 3 not in among(library, range(100))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([1.0], "holds 1.0 .float., which is no id"),
        (np.array([1.5]), "which is no id"),
        ([2**70], "which is no id"),
        (np.array([2**63 + 1], np.uint64), "which is no id"),
        ([None], "holds None, which is no id"),
    ],
)
def test_what_is_no_id_is_refused(library: Library, wrong: Any, said: str) -> None:
    for take in (lambda: among(library, wrong), lambda: library.remove(wrong)):
        with pytest.raises(ConfigError, match=said):
            take()


def test_keys_paths_and_ids_stand_in_one_list(library: Library, tmp_path: Path) -> None:
    (source,) = library.status().sources
    assert library.remove([(source.id, "000.png"), tmp_path / "p" / "001.png", np.int64(3), "003.png"]) == 4
    with pytest.raises(LibraryError, match="matches 99"):
        library.remove([99])
    with pytest.raises(ConfigError, match="bytes names nothing"):
        library.remove(b"000.png")  # type: ignore[arg-type]
    assert len(library) == 4

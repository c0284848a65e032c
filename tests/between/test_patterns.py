"""Patterns that a user types: the name first, then the pattern, wherever one can be typed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sightbook.errors import LibraryError, SourceError
from sightbook.images.patterns import matches
from sightbook.images.sources import open_sources
from sightbook.images.vectors import read_vectors
from sightbook.library.library import Library
from sightbook.model.model import Model
from tests.images.pictures import write_folder, write_tar
from tests.library.pictures import picture
from tests.tiny import tiny_model

A = picture(1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.open(tiny_model(tmp_path_factory.mktemp("m") / "model"), threads=1)


def paths(spec: object) -> list[str]:
    return [entry.path for entry in open_sources([str(spec)]).entries()]


def test_a_source_pattern_with_brackets_in_its_names(tmp_path: Path) -> None:
    write_folder(
        tmp_path, {"a [1]/IMG [1].png": A, "a [1]/IMG 1.png": A, "a 1/x.png": A, "b/y?.png": A, "b/yz.png": A}
    )
    assert paths(tmp_path / "a [1]" / "IMG [1].png") == ["IMG [1].png"]
    assert paths(tmp_path / "a [1]" / "*.png") == ["IMG 1.png", "IMG [1].png"]
    assert paths(tmp_path / "a [1]" / "IMG [1]*") == ["IMG [1].png"]
    assert paths(tmp_path / "a [1]" / "IMG [0-9].png") == ["IMG 1.png"], "and it is still a pattern"
    assert paths(tmp_path / "a [0-9]" / "x.png") == ["x.png"]
    assert paths(tmp_path / "b" / "y?.png") == ["y?.png"]
    assert paths(tmp_path / "*" / "y?.png") == ["y?.png", "yz.png"]
    assert paths(tmp_path / "b" / "y[!?].png") == ["yz.png"]


def test_ranges_and_choices_in_braces(tmp_path: Path) -> None:
    for n in range(12):
        write_tar(tmp_path / f"s-{n:03}.tar", {f"{n}.png": A})
    write_tar(tmp_path / "s-{x,y}.tar", {"odd.png": A})
    assert paths(tmp_path / "s-{000..009}.tar") == [f"{n}.png" for n in range(10)]
    assert paths(tmp_path / "s-{009..011}.tar") == ["9.png", "10.png", "11.png"]
    assert paths(tmp_path / "s-{001,003}.tar") == ["1.png", "3.png"]
    assert paths(tmp_path / "{s,t}-00{8..9}.t*") == ["8.png", "9.png"]
    assert paths(tmp_path / "s-{x,y}.tar") == ["odd.png"], "a file of that very name"
    with pytest.raises(SourceError, match=r"names '.*s-012\.tar' and 7 more, which is not there"):
        paths(tmp_path / "s-{000..019}.tar")
    with pytest.raises(SourceError, match="matches nothing"):
        paths(tmp_path / "t-{000..003}.tar")
    with pytest.raises(SourceError, match="more than 100,000 members"):
        paths(tmp_path / "s-{0..99999999999}.tar")
    for n in (1, 2):
        np.save(tmp_path / f"v{n}.npy", np.full((n, 3), n, np.float32))
    assert read_vectors(f"{tmp_path}/v{{1..2}}.npy").shape == (3, 3)


def test_a_pattern_in_the_other_normalization(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cafe\u0301/a.png": A})
    assert paths(f"{tmp_path}/caf\u00e9/*.png") == ["a.png"]
    assert len(matches(f"{tmp_path}/c*/a.png")) == 1


def test_removing_by_a_pattern_with_brackets(tmp_path: Path, model: Model) -> None:
    photos = write_folder(
        tmp_path / "p",
        {
            name: picture(n)
            for n, name in enumerate(("a [1]/x.png", "a [1]/y.jpg", "a 1/x.png", "b 1.png", "b [1].png"))
        },
    )
    with Library.open(tmp_path / "l", create_with=model) as library:
        library.add(photos)
        assert library.remove("a [1]/*.png") == 1
        assert library.remove("b [1].png") == 1
        with pytest.raises(LibraryError, match="nothing in"):
            library.remove("c [1]*")
        assert library.remove("b [1]*") == 1, "where no name has brackets it is a pattern"
        assert {hit.path for hit in library.search(photos / "a 1" / "x.png", 9)} == {
            "a [1]/y.jpg",
            "a 1/x.png",
        }

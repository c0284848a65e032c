"""Sentences count their nouns, and name the command that helps."""

from __future__ import annotations

from pathlib import Path

import pytest

from sightbook.cli.status import text
from sightbook.errors import ConfigError, LibraryError, SourceError
from sightbook.evaluate.protocols import load_labelled
from sightbook.images.pixels.frame import Frame
from sightbook.learn.store import fill as decode
from sightbook.library.care.check import check
from sightbook.library.library import Library
from sightbook.model.model import Model
from sightbook.progress import silent
from sightbook.words import counted, none_read, plural, verb
from tests.library.pictures import fill, write
from tests.tiny import tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.open(tiny_model(tmp_path_factory.mktemp("m") / "model"), threads=1)


def test_a_number_and_its_noun() -> None:
    found = [counted(n, "picture") for n in (0, 1, 2, 1000)]
    assert found == ["0 pictures", "1 picture", "2 pictures", "1,000 pictures"]
    assert [counted(n, "labelled query") for n in (1, 3)] == ["1 labelled query", "3 labelled queries"]
    assert (plural("class"), plural("batch"), plural("batch", 1)) == ("classes", "batches", "batch")
    assert counted(2, "link to a folder that is walked anyway") == "2 links to a folder that is walked anyway"
    assert counted(2, "LIBRARY of sightbook") == "2 LIBRARYs of sightbook"
    assert [verb(n, "are") for n in (0, 1, 2)] == ["are", "is", "are"]
    assert none_read(1, "picture", "x") == "the only picture in x could not be read"
    assert none_read(3, "picture") == "none of the 3 pictures could be read"


def test_one_of_everything_is_said_in_the_singular(tmp_path: Path, model: Model) -> None:
    photos = fill(tmp_path / "photos", 1)
    said = []
    with Library.open(tmp_path / "l", create_with=model) as library:
        library.add(photos)
        said.append(text(library.status(), every_failure=False))
    said += [finding.text for finding in check(tmp_path / "l")]
    with pytest.raises(ConfigError) as few:
        decode([photos], Frame(16, 16), tmp_path, held_out=0.1, memory_gib=1, listener=silent, jobs=1)
    (tmp_path / "l.csv").write_text("file,label\nnot there.png,a\n")
    with pytest.raises(ConfigError) as absent:
        load_labelled(photos, tmp_path / "l.csv", None)
    write(tmp_path / "bad" / "a.jpg", b"no picture")
    with pytest.raises(SourceError) as unreadable:
        decode(
            [tmp_path / "bad"], Frame(16, 16), tmp_path, held_out=0.1, memory_gib=1, listener=silent, jobs=1
        )
    said += [str(caught.value) for caught in (few, absent, unreadable)]
    whole = "\n".join(said)
    for wrong in ("1 pictures", "1 files", "1 codes", "1 rows", "1 queries", "1 classes"):
        assert wrong not in whole.replace("001 ", ""), whole
    assert "1 picture" in whole


def test_adding_with_another_model_names_migrate(tmp_path: Path, model: Model) -> None:
    other = tiny_model(tmp_path / "other model", seed=1)
    photos = fill(tmp_path / "photos", 2)
    with Library.open(tmp_path / "l", create_with=model) as library, pytest.raises(LibraryError) as caught:
        library.add(photos, model=other)
    assert f"`sightbook migrate {tmp_path / 'l'} --model '{other}'`" in str(caught.value)


def test_retry_is_named_where_it_helps(tmp_path: Path, model: Model) -> None:
    photos = fill(tmp_path / "photos", 2)
    write(photos / "bad.jpg", b"no picture")
    with Library.open(tmp_path / "l", create_with=model) as library:
        library.add(photos)
        assert library.add(photos).known_failures == 1
        assert "--retry" in text(library.status(), every_failure=False)
        (photos / "bad.jpg").unlink()
        library.add(photos)
        assert "--retry" not in text(library.status(), every_failure=False)

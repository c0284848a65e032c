"""CONTRIBUTING's recipe for a source: one file (here `zip_source.py`) and one line, and everything else takes it."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator
from dataclasses import MISSING, fields, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sightbook.errors import PictureError, SourceError
from sightbook.evaluate.run import evaluate
from sightbook.images.kinds import registry
from sightbook.images.load.loaded import Loaded
from sightbook.images.load.pool import load
from sightbook.images.pixels.guards import Guards
from sightbook.images.source import SourceKind
from sightbook.images.sources import open_sources
from sightbook.library import export
from sightbook.library.library import Library
from sightbook.model.model import Model
from sightbook.present.sheet import sheet
from tests.between import zip_source
from tests.evaluate.collections import draw
from tests.library.pictures import picture
from tests.tiny import tiny_model

RECIPE = re.search(
    r"### A source\n(.*?)\n### ",
    Path(__file__).parents[2].joinpath("CONTRIBUTING.md").read_text("utf-8"),
    re.S,
)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    registry.register(zip_source.KIND)  # the one line
    yield
    registry.OWN.clear()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.open(tiny_model(tmp_path_factory.mktemp("m") / "model"), threads=1)


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def test_the_recipe_names_both_places_and_all_that_a_kind_must_say() -> None:
    assert RECIPE is not None
    steps = re.findall(r"^\d\. (.*)$", RECIPE[1], re.MULTILINE)
    must = [each.name for each in fields(SourceKind) if each.default is MISSING]
    assert re.findall(r"`(\w+)`", steps[0].partition(":")[2])[: len(must)] == must
    assert "`sightbook/images/kinds/NAME.py`" in steps[0]
    assert "`sightbook/images/kinds/registry.py`" in steps[1]


def test_every_file_that_makes_a_kind_has_its_line() -> None:
    folder = Path(registry.__file__).parent
    made = {path.stem for path in folder.glob("*.py") if "\nKIND = " in path.read_text("utf-8")}
    assert made == {kind.name for kind in registry.kinds()} - {"zip"}


def test_it_is_added_searched_shown_exported_and_followed(tmp_path: Path, model: Model) -> None:
    files = {f"a/{n}.png": picture(n) for n in range(5)}
    path = write_zip(tmp_path / "p.zip", {**files, "notes.txt": b"x"})
    with Library.open(tmp_path / "l", create_with=model) as library:
        report = library.add([path], jobs=1)
        assert (report.added, report.failed) == (5, [])
        assert [(group.what, group.names) for group in report.left_out] == [(".txt", [f"{path}!notes.txt"])]
        hits = library.search(files["a/3.png"], 2)
        assert (hits[0].path, hits[0].kind, hits[0].locator) == ("a/3.png", "zip", f"{path}!a/3.png")
        assert hits[0].read() == files["a/3.png"] and hits[0].uri == path.as_uri()
        sheet(files["a/3.png"], hits, tmp_path / "sheet.png")
        assert export.embeddings_to_parquet(library, tmp_path / "e.parquet", jobs=1) == 5
        assert library.add([path]).unchanged == 5
        assert library.remove(f"{path}!a/3.png") == 1
        write_zip(path, {"a/9.png": picture(9)})
        with pytest.raises(PictureError, match="no member of this name"):
            hits[1].read()
    rows = pq.read_table(tmp_path / "e.parquet").to_pylist()
    assert [row["path"] for row in rows] == list(files)
    for row in rows:
        alone = model.embed(model.prepare(files[row["path"]])[None])[0]
        np.testing.assert_allclose(row["embedding"], alone, atol=1e-6)


def test_its_labels_are_those_of_the_same_folder(tmp_path: Path, model: Model) -> None:
    files = {f"{kind}/{n:02}.png": data for n, (data, kind) in enumerate(draw(40))}
    for name, data in files.items():
        (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "p" / name).write_bytes(data)
    # In the order of a walk, so that the same pictures ask.
    path = write_zip(tmp_path / "p.zip", {name: files[name] for name in sorted(files)})
    ours, theirs = (evaluate(model, "labelled", each, jobs=1) for each in (path, tmp_path / "p"))
    assert (ours.map, ours.queries, ours.database) == (theirs.map, 4, 36)


def test_it_may_be_published_in_parts(tmp_path: Path, model: Model) -> None:
    for part, seed in (("train", 0), ("test", 1)):
        drawn = draw(12, seed=seed)
        write_zip(tmp_path / f"{part}.zip", {f"{kind}/{n}.png": data for n, (data, kind) in enumerate(drawn)})
    report = evaluate(model, "labelled", tmp_path, jobs=1)
    assert (report.queries, report.database, report.classes) == (12, 12, 6)


def test_processes_that_decode_read_it_by_its_functions_names(tmp_path: Path, model: Model) -> None:
    path = write_zip(tmp_path / "p.zip", {f"a/{n}.png": picture(n) for n in range(3)})
    assert model.frame is not None
    found = list(load(open_sources([path]).entries(), model.frame, jobs=1, guards=Guards(seconds=59)))
    assert [type(each) for each in found] == [Loaded] * 3


def test_it_is_proposed_where_nothing_else_is_found(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    write_zip(tmp_path / "p" / "a.zip", {"a/1.png": picture(1)})
    with pytest.raises(SourceError, match=r"but 1 archive such as a\.zip: give '.*/p/\*\.zip'"):
        open_sources([tmp_path / "p"])
    with pytest.raises(SourceError, match=r"give a folder, a \.tar, .*a \.zip, a picture"):
        open_sources([os.devnull])
    write_zip(tmp_path / "p" / "b.zip", {"a.txt": b"x"})
    sources = open_sources([tmp_path / "p" / "*.zip"])
    assert [entry.path for entry in sources.entries()] == ["a/1.png"]
    assert [(group.reason, group.what) for group in sources.left_out] == [("empty", ".zip")]


def test_whatever_stands_between_root_and_path_names_a_picture(tmp_path: Path, model: Model) -> None:
    registry.OWN.clear()
    registry.register(replace(zip_source.KIND, joint=" the zip's 'own' ; "))
    path = write_zip(tmp_path / "p.zip", {f"a/{n}.png": picture(n) for n in range(3)})
    with Library.open(tmp_path / "library", create_with=model) as library:
        library.add(path)
        found = library.search(picture(1), k=1)[0]
        assert found.locator == f"{path} the zip's 'own' ; a/1.png"
        assert library.remove(found.locator) == 1
        assert sorted(hit.path for hit in library.search(picture(1), k=9)) == ["a/0.png", "a/2.png"]


def test_a_name_is_given_once(tmp_path: Path) -> None:
    registry.register(zip_source.KIND)
    with pytest.raises(SourceError, match="a kind of source called 'tar': give yours another name"):
        registry.register(SourceKind("tar", ":", *(zip_source.KIND.recognize,) * 4))  # type: ignore[arg-type]


def test_a_library_is_searched_where_one_of_its_kinds_is_not_known(tmp_path: Path, model: Model) -> None:
    path = write_zip(tmp_path / "p.zip", {"a/1.png": picture(1)})
    with Library.open(tmp_path / "l", create_with=model) as library:
        library.add([path], jobs=1)
        registry.OWN.clear()
        (hit,) = library.search(picture(1), 1)
        assert hit.locator == f"{path} row a/1.png"
        assert hit.uri == path.as_uri(), "for `search --json`, too"
        with pytest.raises(SourceError, match="of the kind 'zip', which is not known here"):
            hit.read()

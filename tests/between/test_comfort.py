"""What a shell completes and people type, and what the library makes of it."""

from __future__ import annotations

import json
import shlex
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sightbook.cli.app import app
from sightbook.cli.completion import folders, setting
from sightbook.cli.status import text
from sightbook.errors import LibraryError, ModelError
from sightbook.ingest.migrate import migrate
from sightbook.library.library import Library
from sightbook.model import released
from sightbook.model.model import Model
from sightbook.progress import Notice
from tests.library.pictures import fill
from tests.tiny import tiny_model, tiny_vectors_model


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    """photos/2021 (3), photos/2022 (4) and other (2), the current folder above them."""
    fill(tmp_path / "photos" / "2021", 3)
    fill(tmp_path / "photos" / "2022", 4, first=10)
    fill(tmp_path / "other", 2, first=20)
    monkeypatch.chdir(tmp_path)
    found = Library.open(tmp_path / "library", create_with=tiny_model(tmp_path / "model"))
    found.add(["photos", "other"])
    return found


@pytest.mark.parametrize(
    ("typed", "gone"),
    [
        ("photos/2021", 3),
        ("photos/2021/", 3),
        ("./photos/2021/", 3),
        ("other/../photos/2021", 3),
        ("photos/2021/001.png", 1),
        ("photos/2021/*.png", 3),
        ("photos/202?/00[12].png", 4),
        ("photos", 7),
        ("photos/", 7),
        ("2021", 3),
        ("2021/", 3),
        ("2021/001.png", 1),
        ("{here}/photos/2021", 3),
        ("{here}/photos/2021/", 3),
        ("{here}/photos/2022/*2.png", 1),
        ("{here}/other/", 2),
    ],
)
def test_paths_as_a_shell_completes_them_name_what_they_name(
    library: Library, tmp_path: Path, typed: str, gone: int
) -> None:
    assert library.remove(typed.format(here=tmp_path)) == gone
    assert len(library) == 9 - gone


def test_a_path_is_looked_for_from_where_one_stands(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "photos" / "2022")
    assert library.remove("003.png") == 1, "the only 003.png is this one"
    assert library.remove("../2021/000.png") == 1
    assert library.remove(".") == 3
    monkeypatch.setenv("HOME", str(tmp_path))
    assert library.remove("~/photos") == 2
    for nothing in ("", "nowhere", "../2023", "a\0b", "other2"):
        with pytest.raises(LibraryError, match="matches"):
            library.remove(nothing)


def test_a_name_of_two_things_is_refused(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "photos" / "other", 1, first=30)
    library.add("photos")
    with pytest.raises(
        LibraryError, match="'other' is a path in the library and another one from the current folder"
    ):
        library.remove("other")
    assert library.remove("photos/other") == 1 and library.remove("other") == 2


def test_a_path_in_each_of_several_sources_is_refused(tmp_path: Path) -> None:
    for place in ("a", "b"):
        fill(tmp_path / place / "2021", 3)
    library = Library.open(tmp_path / "library", create_with=tiny_model(tmp_path / "model"))
    library.add([tmp_path / "a", tmp_path / "b"])
    for typed in ("2021/000.png", "2021", "2021/"):
        with pytest.raises(
            LibraryError, match=r"is in several sources \(.*/a, .*/b\): give the whole path, or a"
        ):
            library.remove(typed)
    assert len(library) == 6
    with pytest.raises(LibraryError, match="in several sources"):
        library.id_of("2021/000.png")
    assert library.remove(str(tmp_path / "a" / "2021" / "000.png")) == 1
    assert library.remove("2021/000.png") == 1, "now it is one picture"
    assert library.remove("2021/*1.png") == 2, "a pattern fits whatever it fits"
    assert library.remove(str(tmp_path / "b")) == 1


@pytest.mark.parametrize("typed", ["{here}/photos", "photos", "photos/"])
def test_a_folder_that_holds_several_sources_is_one_thing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    for place in ("2021", "2022"):
        fill(tmp_path / "photos" / place, 3)
    library = Library.open(tmp_path / "library", create_with=tiny_model(tmp_path / "model"))
    library.add([tmp_path / "photos" / "2021", tmp_path / "photos" / "2022"])
    monkeypatch.chdir(tmp_path)
    assert library.remove(typed.format(here=tmp_path)) == 6


def test_a_failed_file_in_another_source_makes_a_path_ambiguous_too(tmp_path: Path) -> None:
    fill(tmp_path / "a", 1)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "000.png").write_text("no picture")
    library = Library.open(tmp_path / "library", create_with=tiny_model(tmp_path / "model"))
    library.add([tmp_path / "a", tmp_path / "b"])
    with pytest.raises(LibraryError, match="in several sources"):
        library.remove("000.png")
    library.remove(str(tmp_path / "b" / "000.png"))
    assert (len(library), library.failures()) == (1, []), "the failure is forgotten, the picture stays"


def test_what_was_exported_is_told_to_programs(library: Library) -> None:
    for arguments, document in (
        (("model", "--format", "onnx", "--out", "e.onnx"), {"file": "e.onnx"}),
        (("library", "--format", "parquet", "--out", "c.parquet"), {"file": "c.parquet", "pictures": 9}),
        (("library", "--format", "faiss", "--out", "i.faiss"), {"file": "i.faiss", "pictures": 9}),
    ):
        done = CliRunner().invoke(app, ["export", *arguments, "--json"])
        assert done.exit_code == 0 and json.loads(done.stdout) == document
        assert Path(document["file"]).stat().st_size > 0


def test_a_pattern_is_of_the_librarys_paths(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "photos" / "2022")
    assert library.remove("*/000.png") == 3


def test_links_brackets_and_normalization_lead_to_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = unicodedata.normalize("NFC", "Fotos für [alle]")
    fill(tmp_path / name / "in", 3)
    (tmp_path / "link").symlink_to(tmp_path / name)
    monkeypatch.chdir(tmp_path / "link")
    library = Library.open(tmp_path / "library", create_with=tiny_model(tmp_path / "model"))
    library.add(tmp_path / name)
    assert library.remove("in/000.png") == 1
    monkeypatch.chdir(tmp_path / name)
    assert library.remove("in/*1.png") == 1, "the brackets above are no pattern"
    assert library.remove(str(tmp_path / unicodedata.normalize("NFD", name) / "in")) == 1


def complete(*words: str) -> list[str]:
    """What the shell offers for the last word."""
    asked = {
        "_SIGHTBOOK_COMPLETE": "complete_bash",
        "COMP_WORDS": shlex.join(["sightbook", *words[:-1]]) + f" {words[-1]}",
    }
    found = CliRunner().invoke(app, [], prog_name="sightbook", env={**asked, "COMP_CWORD": str(len(words))})
    return found.stdout.split()


def test_values_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "physics", "model", ".hidden"):
        (tmp_path / name / "in").mkdir(parents=True)
    (tmp_path / "phone.jpg").write_bytes(b"")
    assert complete("train", "x", "--method", "m") == ["mecoq"]
    assert "rcq" in complete("train", "x", "--method", "")
    assert complete("evaluate", "m", "--protocol", "cifar") == ["cifar10-I", "cifar10-II"]
    assert complete("evaluate", "m", "--baseline", "feat") == ["features", "features-pca"]
    assert complete("evaluate", "m", "--ap-definition", "t") == ["trapezoid"]
    assert complete("add", "l", "photos", "--model", "m") == ["model/"]
    assert complete("add", "l", "photos", "--model", "cif") == [
        each for each in released.names() if each[:3] == "cif"
    ]
    assert complete("migrate", "l", "--model", "model/") == ["model/in/"]
    assert complete("train", "x", "--set", "views.hu") == ["views.hue="]
    assert complete("train", "x", "--set", "backbone.kind=") == [
        "backbone.kind=vit", "backbone.kind=resnet", "backbone.kind=pretrained",
    ]  # fmt: skip
    assert complete("train", "x", "--preset", "p") == ["photo", "paper"]
    assert complete("train", "x", "--device", "c") == ["cpu", "cuda"]
    assert complete("train", "x", "--backbone", "b") == ["builtin"]
    assert complete("train", "x", "--train", "") == ["head", "last:", "all"]
    assert complete("export", "x", "--format", "f") == ["faiss"]
    assert complete("status", "ph") == ["photos/", "physics/"]
    assert folders("") == ["model/", "photos/", "physics/"] and folders(".h") == [".hidden/"]
    assert folders("nowhere/x") == [] and setting("tau=") == [] and setting("nothing=") == []


def test_status_names_the_model_its_backbone_and_what_it_sees(tmp_path: Path, library: Library) -> None:
    status = library.status()
    assert (status.model, status.backbone, status.side) == ("model", None, 16)
    assert "sees" in text(status, every_failure=False) and "16 × 16 pixels" in text(
        status, every_failure=False
    )
    fill(tmp_path / "small", 2, side=32)
    with Library.open(tmp_path / "named", create_with="cifar10-64") as named:
        named.add(tmp_path / "small")
        told = named.status()
        assert (told.model, told.backbone, told.side) == ("cifar10-64", "resnet", 32)
        assert "cifar10-64: rcq, 64 bits" in text(told, every_failure=False)
    with Library.open(tmp_path / "vectors", create_with=tiny_vectors_model(tmp_path / "vm")) as vectors:
        found = vectors.status()
        assert (found.backbone, found.side) == (None, None)
        assert "sees" not in text(found, every_failure=False)


def test_status_tells_a_given_model_by_its_folder_after_a_migration_too(tmp_path: Path) -> None:
    fill(tmp_path / "photos", 3)
    first, second = tiny_model(tmp_path / "of spring"), tiny_model(tmp_path / "of autumn", seed=1)
    with Library.open(tmp_path / "library", create_with=first) as library:
        library.add(tmp_path / "photos")
        assert library.status().model == "of spring"
        migrate(library.path, Model.open(second))
        assert library.status().model == "of autumn"
        assert "of autumn: " in text(library.status(), every_failure=False)
        first.rename(tmp_path / "elsewhere")
        migrate(library.path, Model.open(tmp_path / "elsewhere"))
        assert library.status().model == "elsewhere"


def test_a_library_is_found_again_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "photos", 3)
    tiny_model(tmp_path / "model")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    with Library.open("library", create_with="model") as library:
        model = Model.open("model")
        monkeypatch.chdir(tmp_path / "other")
        assert library.add(tmp_path / "photos").added == 3
        assert [hit.id for hit in library.search(tmp_path / "photos" / "001.png", k=1)] == [
            library.search("../photos/001.png", k=1)[0].id
        ]
        assert library.status().pictures == 3 and library.path == tmp_path / "library"
        pixels = model.prepare("../photos/001.png")[None]
        assert np.array_equal(model.encode(pixels), library.model.encode(pixels))


def test_large_pictures_for_a_small_model_are_told(tmp_path: Path) -> None:
    def heard(model: Path, side: int) -> list[str]:
        """What is said of three pictures, added twice: the second time nothing is new."""
        said: list[str] = []
        fill(tmp_path / str(side), 3, side=side, first=side)
        with Library.open(tmp_path / f"of {side}", create_with=model) as library:
            for _ in range(2):
                library.add(
                    tmp_path / str(side),
                    listener=lambda e: said.append(e.text) if isinstance(e, Notice) else None,
                )
        return said

    small = tiny_model(tmp_path / "model")  # 16 pixels
    assert heard(small, 20) == heard(small, 63) == []
    for side in (64, 200):
        (said,) = heard(small, side)
        assert (
            f"sees 16 × 16 pixels of a picture, and the shorter side of those just added is {side} (median)"
            in said
        )
    assert heard(tiny_model(tmp_path / "large", size=128), 600) == [], "made for photos of any size"


def test_a_misspelt_model_names_the_one_that_is_near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_model(tmp_path / "my-photos")
    (tmp_path / "deep").mkdir()
    tiny_model(tmp_path / "deep" / "model")
    for wrong, right in (
        ("cifar10-46", "cifar10-64"),
        ("my-phtos", "my-photos"),
        ("deep/modle", "deep/model"),
    ):
        with pytest.raises(ModelError, match=f"is not a sightbook model .*; did you mean {right}\\?"):
            Model.open(wrong)
    with pytest.raises(ModelError) as caught:
        Model.open("something else")
    assert "did you mean" not in str(caught.value)

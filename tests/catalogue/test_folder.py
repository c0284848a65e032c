from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sightbook.catalogue import create, database
from sightbook.catalogue.catalogue import NAME, Catalogue
from sightbook.catalogue.database import explained
from sightbook.catalogue.lock import writer_lock
from sightbook.catalogue.versions import FORMAT
from sightbook.errors import LibraryError, ModelError, SourceError
from sightbook.library.library import Library
from sightbook.model.model import Model
from tests.library.held import by_key, catalogue_of, held, stamp
from tests.library.pictures import content, fill, picture, write


@pytest.fixture
def made(tmp_path: Path, model: Model) -> Path:
    """A library of three pictures."""
    with Library.open(tmp_path / "made", create_with=model) as library:
        library.add([fill(tmp_path / "photos", 3)])
    return tmp_path / "made"


def refusal(path: Path, **options: object) -> str:
    with pytest.raises(LibraryError) as error:
        Library.open(path, **options).close()
    return str(error.value)


def test_a_library_holds_what_the_documentation_says(made: Path, model: Model) -> None:
    assert sorted(item.name for item in made.iterdir()) == [NAME, "library.json", "model", "writer.lock"]
    facts = json.loads((made / "library.json").read_text())
    assert (facts["format"], facts["fingerprint"], facts["bits"]) == (FORMAT, model.fingerprint, 16)
    assert sorted(file.name for file in (made / "model").iterdir()) == [
        "codebooks.safetensors",
        "config.json",
        "encoder.onnx",
    ]


def test_a_copied_library_answers_like_the_original(made: Path, tmp_path: Path) -> None:
    with Library.open(made) as library:
        expected = library.search(picture(1))
    shutil.copytree(made, tmp_path / "elsewhere" / "copy")
    shutil.rmtree(made)
    with Library.open(tmp_path / "elsewhere" / "copy") as library:
        assert library.search(picture(1)) == expected


def test_no_library_is_a_sentence_with_what_to_do(tmp_path: Path) -> None:
    there = tmp_path / "l"
    assert refusal(there) == f"there is no library at {there}: `sightbook add {there} SOURCE` makes one"
    there.mkdir()
    assert refusal(there) == (
        f"{there} is empty, not a library: `sightbook add {there} SOURCE` makes one in it"
    )


def test_a_folder_of_other_things_is_refused_and_left_alone(tmp_path: Path, model: Model) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "diary.txt").write_text("dear diary")
    for options in ({}, {"create_with": model}):
        assert refusal(tmp_path / "f", **options) == (
            f"{tmp_path / 'f'} is not a sightbook library (no library.json): give the folder that `sightbook add` "
            "made, or a new one"
        )
    assert [item.name for item in (tmp_path / "f").iterdir()] == ["diary.txt"]
    file = tmp_path / "f" / "diary.txt"
    assert "is not a sightbook library" in refusal(file)
    assert "is not a sightbook library" in refusal(file, create_with=model)


def test_a_newer_format_is_refused_with_a_hint(made: Path) -> None:
    facts = json.loads((made / "library.json").read_text())
    (made / "library.json").write_text(json.dumps({**facts, "format": FORMAT + 1, "fingerprint": None}))
    assert refusal(made) == (
        f"{made} has library format {FORMAT + 1}, this program reads up to {FORMAT}: update sightbook "
        "(pip install -U sightbook)"
    )
    (made / "library.json").write_text(json.dumps(facts))
    connection = sqlite3.connect(made / NAME)
    connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    connection.close()
    assert refusal(made) == (
        f"the catalogue of {made} has format {FORMAT + 1}, this program reads up to {FORMAT}: update sightbook "
        "(pip install -U sightbook)"
    )


def test_another_model_is_refused(made: Path, tmp_path: Path, model: Model, other_model: Model) -> None:
    sentence = (
        f"{made} was made with another model (16 bits, fingerprint {model.fingerprint[:12]}) than {other_model.folder} "
        f"(16 bits, {other_model.fingerprint[:12]}): leave the model out to go on with its own, take the other one "
        f"by `sightbook migrate {made} --model {other_model.folder}`, or give another folder for a new library"
    )
    assert refusal(made, create_with=other_model) == sentence
    assert refusal(made, create_with=other_model.folder) == sentence
    with Library.open(made, create_with=model.folder) as library:
        with pytest.raises(LibraryError) as error:
            library.add([tmp_path / "photos"], model=other_model)
        assert str(error.value) == sentence
        assert library.add([tmp_path / "photos"], model=model).unchanged == 3


def test_a_model_that_was_swapped_inside_the_library_is_noticed(made: Path, other_model: Model) -> None:
    other_model.copy_to(made / "model")
    with (
        Library.open(made) as library,
        pytest.raises(LibraryError, match=r"is not the model .* was made with"),
    ):
        library.search(picture(0))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("no catalogue", "has lost its catalogue.sqlite: copy the whole library again"),
        ("text catalogue", "the catalogue of {library} is damaged (file is not a database): restore"),
        ("empty catalogue", "does not belong to its library.json"),
        ("foreign catalogue", "does not belong to its library.json"),
        ("cut json", "library.json cannot be read (JSONDecodeError"),
        ("list json", "library.json cannot be read (TypeError"),
        ("poor json", "library.json is damaged (KeyError: 'M')"),
        ("no model", "config.json"),
    ],
)
def test_damage_is_named(made: Path, other_model: Model, tmp_path: Path, damage: str, sentence: str) -> None:
    if damage == "no catalogue":
        (made / NAME).unlink()
    elif damage == "text catalogue":
        (made / NAME).write_bytes(b"This is not a database at all. " * 300)
    elif damage == "empty catalogue":
        (made / NAME).write_bytes(b"")
    elif damage == "foreign catalogue":
        Library.open(tmp_path / "other", create_with=other_model).close()
        shutil.copyfile(tmp_path / "other" / NAME, made / NAME)
    elif damage == "cut json":
        (made / "library.json").write_text('{"format": 1,')
    elif damage == "list json":
        (made / "library.json").write_text("[1]")
    elif damage == "poor json":
        (made / "library.json").write_text('{"format": 1, "fingerprint": "x"}')
    elif damage == "no model":
        shutil.rmtree(made / "model")
    with pytest.raises((LibraryError, ModelError)) as error, Library.open(made) as library:
        library.search(picture(0))
    assert sentence.format(library=made) in str(error.value)


def test_a_catalogue_damaged_inside_says_so(made: Path) -> None:
    content = bytearray((made / NAME).read_bytes())
    content[4096:] = b"\x55" * (len(content) - 4096)
    (made / NAME).write_bytes(content)
    with (
        pytest.raises(LibraryError, match=r"the catalogue of .* is damaged .*restore"),
        Library.open(made) as library,
    ):
        library.search(picture(0))


_STEPS = ["mkdtemp", "Catalogue.create", "copy", "rename", "write_atomic"]


@pytest.mark.parametrize("step", _STEPS)
def test_a_making_that_was_interrupted_says_so_and_can_be_finished(
    tmp_path: Path, place: Path, model: Model, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stops the making as kill -9 would: at this step, with nothing cleaned up."""

    def killed(*_: object, **__: object) -> None:
        raise SystemExit(9)

    with monkeypatch.context() as patch:
        patch.setattr(create.shutil, "rmtree", lambda *_, **__: None)
        if step == "Catalogue.create":
            patch.setattr(create.Catalogue, "create", killed)
        elif step == "mkdtemp":
            patch.setattr(create.tempfile, "mkdtemp", killed)
        elif step == "copy":
            real = shutil.copyfile
            patch.setattr(shutil, "copyfile", lambda a, b: killed() if "config" in str(a) else real(a, b))
        elif step == "rename":
            patch.setattr(Path, "rename", killed)
        else:
            patch.setattr(create, "write_atomic", killed)
        with pytest.raises(SystemExit):
            Library.open(place, create_with=model)
    assert refusal(place) == (
        f"the making of the library {place} was interrupted: run `sightbook add {place} SOURCE` again to "
        "finish it"
    )
    photos = fill(tmp_path / "p", 2)
    with Library.open(place, create_with=model) as library:
        assert library.add([photos]).added == 2
    assert sorted(item.name for item in place.iterdir()) == [NAME, "library.json", "model", "writer.lock"]


def test_an_unfinished_library_takes_another_model_only_while_it_is_empty(
    made: Path, place: Path, model: Model, other_model: Model, tmp_path: Path
) -> None:
    Library.open(place, create_with=model).close()
    (place / "library.json").unlink()
    with Library.open(place, create_with=other_model) as library:
        assert library.model.fingerprint == other_model.fingerprint
    (made / "library.json").unlink()
    assert "has lost its library.json and holds codes of another model" in refusal(
        made, create_with=other_model
    )
    with Library.open(made, create_with=model) as library:  # its own model: everything is there again
        assert held(library) == content(tmp_path / "photos", model)


@pytest.mark.parametrize("state", ["missing", "unreadable", "removed"])
def test_ids_that_were_given_are_not_given_up_for_another_model(
    made: Path, tmp_path: Path, other_model: Model, state: str
) -> None:
    """A drive that is away, or a library that was emptied, still has ids that others may have written down."""
    with Library.open(made) as library:
        for path in (tmp_path / "photos").iterdir():
            write(path, b"spoiled") if state == "unreadable" else path.unlink()
        if state == "removed":
            library.remove(str(tmp_path / "photos"))
        else:
            write(tmp_path / "photos" / "more.png", picture(50))
            library.add(tmp_path / "photos")
            library.remove("more.png")
    (made / "library.json").unlink()
    assert "has lost its library.json and holds codes of another model" in refusal(
        made, create_with=other_model
    )


def test_a_place_that_cannot_be_made_is_named(tmp_path: Path, model: Model) -> None:
    (tmp_path / "file").write_text("x")
    assert "is a file, not a folder" in refusal(tmp_path / "file" / "library", create_with=model)


def test_no_model_is_a_model_error(place: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a sightbook model"):
        Library.open(place, create_with=tmp_path)
    assert not place.exists()


def test_a_wrong_source_leaves_the_library_as_it_was(made: Path, tmp_path: Path) -> None:
    with Library.open(made) as library:
        before = by_key(library), stamp(library)
        for wrong in ([], [tmp_path / "nowhere"], [tmp_path / "photos", tmp_path / "nowhere"]):
            with pytest.raises(SourceError):
                library.add(wrong)
        assert (by_key(library), stamp(library)) == before


def test_removing_what_is_not_there_removes_nothing(made: Path) -> None:
    with Library.open(made) as library:
        with pytest.raises(LibraryError) as error:
            library.remove(["000.png", "nothing*"])
        assert str(error.value) == (
            f"nothing in {made} matches 'nothing*': give a path as `sightbook search` shows it, a pattern in quotes, "
            "or a source of `sightbook status`"
        )
        for absent in (99, ("x", "000.png"), ("x", ""), "", [""]):
            with pytest.raises(LibraryError):
                library.remove(absent)
        assert len(library) == 3


def test_a_second_writer_is_told_who_holds_the_lock(made: Path, tmp_path: Path) -> None:
    with Library.open(made) as library, writer_lock(made):
        for write in (lambda: library.add([tmp_path / "photos"]), lambda: library.remove(1)):
            with pytest.raises(LibraryError) as error:
                write()
            assert str(error.value).startswith(f"{made} is being written by process {os.getpid()} since 20")
            assert str(error.value).endswith(
                ": wait for it to end and run the same command again, or with --wait SECONDS"
            )
        assert len(library.search(picture(0))) == 3  # readers do not care
    with writer_lock(made):
        pass
    assert (made / "writer.lock").read_bytes() == b""


def test_a_full_disk_keeps_committed_batches(
    tmp_path: Path, place: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = fill(tmp_path / "p", 300, side=4)
    real = database.connect_writer

    def small_disk(path: Path) -> sqlite3.Connection:
        connection = real(path)
        connection.execute("PRAGMA max_page_count = 13")
        return connection

    with Library.open(place, create_with=model) as library:
        with monkeypatch.context() as patch:
            patch.setattr("sightbook.catalogue.catalogue.connect_writer", small_disk)
            patch.setattr("sightbook.ingest.commit.BATCH", 20)
            with pytest.raises(LibraryError) as error:
                library.add([photos])
        assert str(error.value) == (
            f"the disk that holds {place} is full: what was already committed is kept, free some space and run the "
            "same command again"
        )
        kept = len(library)
        assert 0 < kept < 300 and kept % 20 == 0
        report = library.add([photos])
        assert (report.added, report.unchanged) == (300 - kept, kept)
        assert held(library) == content(photos, model)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left"), "the disk that holds /l is full"),
        (
            OSError(errno.EROFS, "Read-only file system"),
            "/l cannot be written: its disk or folder is read-only",
        ),
        (
            sqlite3.DatabaseError("something odd"),
            "the catalogue of /l cannot be read or written (something odd)",
        ),
    ],
)
def test_errors_of_the_disk_are_sentences(error: Exception, sentence: str) -> None:
    with pytest.raises(LibraryError) as raised, explained(Path("/l")):
        raise error
    assert str(raised.value).startswith(sentence)
    with pytest.raises(FileNotFoundError), explained(Path("/l")):
        raise FileNotFoundError(errno.ENOENT, "other errors pass")


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """Takes away the right to write, also from root, whom permissions do not stop: as another user, then."""
    root = os.geteuid() == 0
    for item in [path, *path.rglob("*")]:
        item.chmod(item.stat().st_mode & 0o555)
    try:
        if root:
            os.seteuid(65534)
        yield
    finally:
        if root:
            os.seteuid(0)
        for item in [path, *path.rglob("*")]:
            item.chmod(item.stat().st_mode | 0o200)


@pytest.fixture
def public(made: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the library where any user may look."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        shutil.copytree(made, Path(name) / "library")
        yield Path(name) / "library"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
@pytest.mark.parametrize("state", ["closed", "crashed", "crashed, without -shm"])
def test_a_read_only_library_is_searched_and_not_written(public: Path, tmp_path: Path, state: str) -> None:
    with Library.open(public) as library:
        expected = library.search(picture(0))
        shutil.rmtree(public / "cache")
        if state != "closed":
            # What a crashed writer leaves: committed rows that are still in the -wal file.
            writer = Catalogue.write(public / NAME)
            with catalogue_of(library) as reader:  # in the way: it keeps the -wal from being emptied
                reader.stand_still()
                before = reader.stamp
                writer.remove([1])
                expected = [hit.id for hit in expected if hit.id != 1]
                copy = public.with_name("copy")
                shutil.copytree(public, copy)
                assert reader.stamp == before
            writer.close()
            assert (copy / f"{NAME}-wal").stat().st_size > 0
            if state != "crashed":
                (copy / f"{NAME}-shm").unlink()
        else:
            expected = [hit.id for hit in expected]
            copy = public
    names = sorted(item.name for item in copy.rglob("*"))
    with read_only(copy), Library.open(copy) as library:
        assert [hit.id for hit in library.search(picture(0))] == expected
        assert library.status().pictures == len(expected)
        for write in (lambda: library.add([copy]), lambda: library.remove(2)):
            with pytest.raises(LibraryError, match="cannot be written: its disk or folder is read-only"):
                write()
    assert sorted(item.name for item in copy.rglob("*")) == names

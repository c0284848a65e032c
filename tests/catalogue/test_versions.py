"""Every format that a program ever wrote is opened, searched and added to; no interruption leaves half a step."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sightbook.catalogue.catalogue import NAME, Catalogue
from sightbook.catalogue.remembered import excludes
from sightbook.catalogue.versions import FORMAT, STEPS, bring_up, step, version_of
from sightbook.errors import LibraryError
from sightbook.ingest.migrate import migrate
from sightbook.library.care.check import check
from sightbook.library.library import Library
from sightbook.model.model import Model
from tests.catalogue import older
from tests.library.held import catalogue_of, finely_held, held, ids
from tests.library.pictures import content, write
from tests.tiny import tiny_described


@pytest.fixture(scope="module")
def fine_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.open(tiny_described(tmp_path_factory.mktemp("fine")), threads=1)


@pytest.fixture
def made(tmp_path: Path, model: Model, other_model: Model, fine_model: Model) -> Callable[[str], Path]:
    """made(NAME): that fixture's library."""
    return lambda name: older.library(
        name, tmp_path / "l", tmp_path / "p", fine_model if name in older.FINE else model, other_model
    )


def layout(connection: sqlite3.Connection) -> dict[str, Any]:
    """What each table and index is made of."""
    found: dict[str, Any] = {}
    for kind, name in connection.execute("SELECT type, name FROM sqlite_master").fetchall():
        about = "table_info" if kind == "table" else "index_xinfo"
        if name != "migration":
            found[name] = connection.execute(f"PRAGMA {about}({name})").fetchall()
    return found


def rows(connection: sqlite3.Connection) -> list[Any]:
    """All that no step may lose."""
    pictures = "SELECT id, source, path, size, mtime_ns, digest, width, height, code, state FROM pictures"
    return [
        connection.execute(f"{statement} ORDER BY 1, 2").fetchall()
        for statement in (pictures, "SELECT * FROM sources", "SELECT * FROM failures")
    ]


@pytest.mark.parametrize("name", older.FORMATS)
def test_an_older_library_is_read_as_it_is(made: Callable[[str], Path], name: str, tmp_path: Path) -> None:
    place = made(name)
    before = (place / NAME).read_bytes()
    excluded = name.endswith("excludes")
    with Library.open(place) as library:
        assert library.status().format == int(name[0])
        assert len(library) == (2 if excluded else 3)
        hits = library.search(tmp_path / "p" / "001.bmp", 10)
        assert {hit.id: hit.path for hit in hits} == {2: "001.bmp", 1: "000.bmp"} | (
            {} if excluded else {4: "003.bmp"}
        )
        if name != "2-fine":  # whose toy model was learned in another way
            assert (hits[0].id, hits[0].score) == (2, 1.0)
        assert [failure.path for failure in library.failures()] == ["broken.png"]
        (source,) = library.status().sources
        assert source.exclude == (("003.*",) if excluded else ())
        assert len(Library.plan(place, tmp_path / "p").missing) == 1
    assert (place / NAME).read_bytes() == before


@pytest.mark.parametrize("name", older.FORMATS)
def test_adding_to_an_older_library_brings_it_to_todays_version(
    made: Callable[[str], Path], name: str, tmp_path: Path
) -> None:
    place, photos = made(name), tmp_path / "p"
    write(photos / "002.bmp", older.bitmap(2))
    write(photos / "new.bmp", older.bitmap(9))
    with Library.open(place) as library:
        fine = finely_held(library) if name in older.FINE else {}
        report = library.add(photos, jobs=1, forget_excludes=True)
        assert report.added == (2 if name.endswith("excludes") else 1) and len(library) == 5
        assert ids(library) == {
            "000.bmp": 1, "001.bmp": 2, "002.bmp": 3, "003.bmp": 4, "new.bmp": 5,
        }  # fmt: skip
        assert library.search(photos / "new.bmp", 1)[0].id == 5
        if name in older.FINE:
            assert finely_held(library).items() >= fine.items()
        else:
            assert held(library) == content(photos, library.model, "*.bmp")
    assert json.loads((place / "library.json").read_text())["format"] == FORMAT
    with (
        closing(Catalogue.read(place / NAME)) as catalogue,
        closing(Catalogue.create(tmp_path / "c.sqlite", "f")) as fresh,
    ):
        assert catalogue.format == FORMAT
        assert layout(catalogue.connection) == layout(fresh.connection)
    assert {finding.verdict for finding in check(place)} <= {"ok", "note"}


@pytest.mark.parametrize("name", older.FORMATS)
def test_check_and_remove_take_older_libraries(
    made: Callable[[str], Path], name: str, tmp_path: Path
) -> None:
    place = made(name)
    assert {finding.verdict for finding in check(place)} <= {"ok", "note"}
    with Library.open(place) as library:
        assert library.remove(str(tmp_path / "p")) == (3 if name.endswith("excludes") else 4)
        assert len(library) == 0
    with closing(Catalogue.read(place / NAME)) as catalogue:
        assert excludes(catalogue) == {}


def test_a_migration_that_an_older_program_began_goes_on(
    made: Callable[[str], Path], other_model: Model
) -> None:
    place, said = made("1-migrating"), list[str]()
    report = migrate(place, other_model, jobs=1, listener=lambda event: said.append(str(event)))
    assert (report.encoded, report.missing) == (3, 1)
    assert any("3 pictures were encoded before" in each for each in said)


def test_a_newer_catalogue_is_refused_by_writers(tmp_path: Path) -> None:
    path = tmp_path / "l" / NAME
    older.catalogue("1-first", path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    with pytest.raises(LibraryError) as error:
        Catalogue.write(path)
    assert str(error.value) == (
        f"the catalogue of {tmp_path / 'l'} has format {FORMAT + 1}, this program reads up to {FORMAT}: update "
        "sightbook (pip install -U sightbook)"
    )


class Stopping(sqlite3.Connection):
    """Stops before its n-th statement."""

    left, stop = -1, staticmethod(lambda: (_ for _ in ()).throw(KeyboardInterrupt))

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        if self.left == 0:
            self.stop()
        self.left -= 1
        return super().execute(*arguments)


def stopped(path: Path, after: int, stop: Callable[[], object] | None = None) -> None:
    """Brings a catalogue up, and stops after so many statements."""
    with closing(sqlite3.connect(path, isolation_level=None, factory=Stopping)) as connection:
        connection.left = after
        connection.stop = stop or connection.stop
        bring_up(connection, path.parent)


def versions(name: str, path: Path) -> dict[int, tuple[dict[str, Any], list[Any]]]:
    """Layout and rows of each version that a fixture goes through."""
    older.catalogue(name, path)
    found = {}
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        while (version := version_of(connection)) < FORMAT:
            found[version] = (layout(connection), rows(connection))
            step(connection)
        found[version] = (layout(connection), rows(connection))
    return found


def is_one_of(states: dict[int, tuple[dict[str, Any], list[Any]]], path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        version = version_of(connection)
        assert (layout(connection), rows(connection)) == states[version]
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return version


@pytest.mark.parametrize("name", ["1-first", "1-migrating", "2-fine-excludes", "3-excludes"])
def test_a_step_that_fails_at_any_statement_leaves_the_version_before(name: str, tmp_path: Path) -> None:
    states = versions(name, tmp_path / "whole" / NAME)
    seen = set()
    for after in range(1, 1000):
        path = tmp_path / str(after) / NAME
        older.catalogue(name, path)
        try:
            stopped(path, after)
        except KeyboardInterrupt:
            seen.add(is_one_of(states, path))
            Catalogue.write(path).close()
            assert is_one_of(states, path) == FORMAT
        else:
            break
    assert after > 2 * (FORMAT - int(name[0])) and seen == set(states) - {FORMAT}


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.catalogue.test_versions import stopped
stopped(Path(sys.argv[1]), int(sys.argv[2]), lambda: os.kill(os.getpid(), signal.SIGKILL))
"""


def test_kill_9_at_any_statement_leaves_the_version_before(tmp_path: Path) -> None:
    states = versions("1-excludes", tmp_path / "whole" / NAME)
    seen = set()
    for after in range(1, 1000, 3):
        path = tmp_path / str(after) / NAME
        older.catalogue("1-excludes", path)
        code = subprocess.run(
            [sys.executable, "-c", KILLED, path, str(after)], check=False, cwd=os.getcwd()  # noqa: PTH109
        ).returncode  # fmt: skip
        seen.add(is_one_of(states, path))
        if code == 0:
            break
        assert code == -signal.SIGKILL
        Catalogue.write(path).close()
        assert is_one_of(states, path) == FORMAT
    assert after > len(STEPS) and {1, 2, 3, FORMAT} <= seen


def test_an_add_that_was_killed_while_it_brought_a_library_up_is_done_again(
    made: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of library.json and the catalogue is ahead."""
    place = made("2-fine")
    with monkeypatch.context() as patch:
        patch.setattr(
            "sightbook.catalogue.folder.catch_up", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with Library.open(place) as library, pytest.raises(KeyboardInterrupt):
            library.add(tmp_path / "p")
    with Library.open(place) as library:
        with catalogue_of(library) as catalogue:
            assert (library.status().format, catalogue.format) == (2, FORMAT)
        assert library.add(tmp_path / "p").unchanged == 3
    with Library.open(place) as library, catalogue_of(library) as catalogue:
        assert (library.status().format, catalogue.format) == (FORMAT, FORMAT)
    shutil.rmtree(place)
    place = made("2-fine")
    facts = json.loads((place / "library.json").read_text())
    (place / "library.json").write_text(json.dumps({**facts, "format": FORMAT}))
    with Library.open(place) as library:
        assert library.add(tmp_path / "p").unchanged == 3

"""Libraries, pictures and terminals whose names and states are unusual, through the whole program."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import pytest

from sightbook.errors import LibraryError, PictureError, SourceError
from sightbook.images.find import Walk
from sightbook.images.names import existing
from sightbook.ingest.migrate import migrate
from sightbook.library.care.check import check
from sightbook.library.care.salvage import salvage
from sightbook.library.library import Library
from sightbook.model.model import Model
from tests.library.pictures import fill, picture, write

_ODD = ["a#b", "50%20off", "what?", "a b", "ünï", "a&mode=memory", "?immutable=1", "%", "a;b'c\"d"]


@pytest.mark.parametrize("name", [*_ODD, os.fsdecode(b"not\xffutf8")])
def test_a_library_lives_at_a_place_of_any_name(
    tmp_path: Path, model: Model, other_model: Model, name: str
) -> None:
    try:
        (tmp_path / name).mkdir()
    except OSError:
        pytest.skip("this file system does not take the name")
    place = tmp_path / name / "library"
    with Library.open(place, create_with=model) as library:
        library.add([fill(tmp_path / name / "photos", 4)])
        assert [hit.id for hit in library.search(picture(2), 1)] == [3]
        assert len(list(library.rows(2))) == 2
    assert {each.verdict for each in check(place)} == {"ok"}
    assert salvage(place) == (4, 0)
    with Library.open(place) as library:
        assert [hit.id for hit in library.search(picture(2), 1)] == [3]
    migrate(place, other_model)
    assert {each.verdict for each in check(place)} == {"ok"}
    strays = {item.name for item in tmp_path.iterdir()} | {item.name for item in place.parent.iterdir()}
    assert strays == {name, "library", "photos"}


def test_folders_lie_deeper_than_pythons_stack(tmp_path: Path) -> None:
    root = tmp_path / "deep"
    root.mkdir()
    here = os.getcwd()  # noqa: PTH109
    try:
        os.chdir(root)
        for _ in range(1200):  # step by step: the whole path is longer than some calls take
            os.mkdir("d")  # noqa: PTH102
            os.chdir("d")
        Path("x.png").write_bytes(picture(1))
    finally:
        os.chdir(here)
    try:
        assert [found.path for found in Walk(str(root))] == ["d/" * 1200 + "x.png"]
    finally:
        subprocess.run(["rm", "-rf", str(root)], check=True)


def test_the_order_of_a_walk_is_that_of_whole_paths(tmp_path: Path) -> None:
    for name in ("b/c/1.png", "b/1.png", "b-x/1.png", "a.png", "b.png", "b/c.png", "z/1.png"):
        write(tmp_path / name, b"x")
    found = [each.path for each in Walk(str(tmp_path))]
    assert found == sorted(found) and len(found) == 7


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
@pytest.mark.parametrize("closed", ["2>&-", "0<&- 2>&-", "1>&- 2>&-", "0<&- 1>&- 2>&-"])
def test_add_does_its_work_with_streams_closed(tmp_path: Path, model: Model, closed: str) -> None:
    photos = fill(tmp_path / "photos", 40, side=300)
    write(photos / "broken.png", b"\x89PNG")
    command = f'"{sys.executable}" -m sightbook add library photos --model "{model.folder}" --jobs 2 {closed}'
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0
    assert ("40 added" in done.stdout) == ("1>&-" not in closed)
    assert {each.verdict for each in check(tmp_path / "library")} == {"ok"}
    with Library.open(tmp_path / "library") as library:
        assert len(library) == 40 and len(library.failures()) == 1
    assert (tmp_path / "library" / "writer.lock").read_bytes() == b"", "nothing was printed into it"


@pytest.fixture
def library(tmp_path: Path, place: Path, model: Model) -> Library:
    return Library.open(place, create_with=model)


def _nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


@pytest.mark.parametrize(
    ("on_disk", "typed"),
    [
        ("Ärger/schön.png", _nfd("Ärger/schön.png")),
        (_nfd("Ärger/schön.png"), "Ärger/schön.png"),
        (_nfd("Ärger") + "/schön.png", "Ärger/" + _nfd("schön.png")),
    ],
)
def test_a_query_is_found_in_the_other_normalization(
    library: Library, tmp_path: Path, on_disk: str, typed: str
) -> None:
    write(tmp_path / "photos" / on_disk, picture(1))
    fill(tmp_path / "photos", 3, first=5)
    library.add([tmp_path / "photos"])
    assert library.search(tmp_path / "photos" / typed, 1)[0].path == on_disk
    assert library.search(str(tmp_path / "photos" / typed), 1)[0].path == on_disk
    assert existing(str(tmp_path / "photos" / typed)) == str(tmp_path / "photos" / on_disk)
    assert existing(str(tmp_path / "photos" / _nfd("über.png"))) is None
    with pytest.raises(PictureError, match="no such file"):
        library.search(tmp_path / "photos" / "über.png")


def test_both_normalizations_side_by_side_are_two_files(tmp_path: Path) -> None:
    one, other = tmp_path / "ü.png", tmp_path / _nfd("ü.png")
    one.write_bytes(b"1")
    other.write_bytes(b"2")
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("this file system takes them for one")
    assert (existing(str(one)), existing(str(other))) == (str(one), str(other))


def run(*arguments: str | bytes, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "sightbook", *arguments], cwd=cwd, capture_output=True, check=False
    )


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="needs file names of any bytes")
def test_a_name_that_is_not_utf8_has_a_way_back_from_json(library: Library, tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path / "photos") + b"/caf\xe9 #1.png"
    fill(tmp_path / "photos", 2, first=5)
    Path(os.fsdecode(odd)).write_bytes(picture(1))
    library.add([tmp_path / "photos"])
    done = run("search", str(library.path), odd, "--json", "-k", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    hit = json.loads(done.stdout)["queries"][0]["hits"][0]
    assert hit["uri"].isascii() and unquote_to_bytes(urlsplit(hit["uri"]).path) == odd
    assert library.remove([hit["path"]]) == 1, "and the library itself takes it back as it gave it"


@pytest.mark.skipif(
    sys.platform in ("win32", "darwin"), reason="names are Unicode there, whatever the locale"
)
@pytest.mark.parametrize("typed", ["000.png", "in/000.png", "in", ""])
def test_what_lies_in_a_folder_that_is_not_utf8_is_named_as_the_shell_has_it(
    library: Library, tmp_path: Path, typed: str
) -> None:
    root = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        fill(root / "in", 2)
        write(root / "000.png", picture(9))
    except OSError:
        pytest.skip("this file system does not take the name")
    library.add(root)
    assert library.remove(str(root / typed)) == {"in": 2, "": 3}.get(typed, 1)


def test_a_library_is_the_same_where_the_locale_is_not_utf8(tmp_path: Path, model: Model) -> None:
    photos = tmp_path / "pü"
    for seed, name in enumerate(("ünï.png", "日本.png", os.fsdecode(b"caf\xe9.png"), "a.png")):
        write(photos / name, picture(seed))
    legacy = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}

    def in_ascii(*words: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-X", "utf8=0", "-m", "sightbook", *words, "--json"],
            cwd=tmp_path, env={**os.environ, **legacy}, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert in_ascii("add", "lü", "pü", "--model", str(model.folder), "--jobs", "2")["added"] == 4
    with Library.open(tmp_path / "lü") as library:
        assert library.add([photos]).unchanged == 4
        assert library.search(picture(1), 1)[0].path == "日本.png"
    assert in_ascii("add", "lü", "pü")["unchanged"] == 4
    (hit,) = in_ascii("search", "lü", "pü/ünï.png", "-k", "1")["queries"][0]["hits"]
    assert (hit["path"], unquote_to_bytes(urlsplit(hit["uri"]).path)) == (
        "ünï.png",
        os.fsencode(photos / "ünï.png"),
    )
    assert in_ascii("remove", "lü", "ünï.png")["removed"] == 1


def test_what_is_printed_of_a_name_cannot_steer_the_terminal(library: Library, tmp_path: Path) -> None:
    name = "a\x1b[2J\x07\nb\u202e\x9b\x7f.png"
    try:
        write(tmp_path / "photos" / name, picture(1))
        write(tmp_path / f"query{name}", picture(2))
        write(tmp_path / f"broken{name}", b"none")
    except OSError:
        pytest.skip("this file system does not take the name")
    library.add([tmp_path / "photos"])
    done = run("search", str(library.path), f"query{name}", f"broken{name}", f"absent{name}", cwd=tmp_path)
    text = (done.stdout + done.stderr).decode()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert "query" + r"a\x1b[2J\x07\nb\u202e\x9b\x7f.png" in text and r"photos/a\x1b[2J" in text
    done = run("search", str(library.path), f"query{name}", "--json", cwd=tmp_path)
    (query,) = json.loads(done.stdout)["queries"]
    assert (query["query"], query["hits"][0]["path"]) == (f"query{name}", name)


@pytest.mark.skipif(sys.platform == "win32", reason="another thing there")
@pytest.mark.parametrize("slashes", ["/", "//"])
def test_a_path_may_begin_with_several_slashes(tmp_path: Path, model: Model, slashes: str) -> None:
    place, photos = Path(f"{slashes}{tmp_path}/library"), fill(tmp_path / "photos", 3)
    with Library.open(place, create_with=model) as library:
        assert library.add(Path(f"{slashes}{photos}")).added == 3
        assert library.add(photos).unchanged == 3
    assert {each.verdict for each in check(place)} == {"ok"}


def test_a_user_who_is_not_there_has_no_folder(tmp_path: Path, model: Model) -> None:
    with Library.open(tmp_path / "library", create_with=model) as library:
        for call in (
            lambda: library.add("~nobody-of-this-name/photos"),
            lambda: Library.plan(library.path, "~nobody-of-this-name/photos"),
        ):
            with pytest.raises(SourceError, match="There is nothing at '~nobody-of-this-name/photos'"):
                call()
        photos = fill(tmp_path / "photos", 3)
        with pytest.raises(LibraryError, match=r"no source of .* stood at ~nobody-of-this-name/photos"):
            library.add(photos, moved_from="~nobody-of-this-name/photos")


def test_a_writer_of_no_library_says_so_and_leaves_nothing(tmp_path: Path, model: Model) -> None:
    photos = fill(tmp_path / "photos", 4)
    before = sorted(tmp_path.rglob("*"))
    for place, says in (
        (tmp_path / "nowhere", "there is no library at"),
        (photos, "is not a sightbook library"),
        (photos / "000.png", "is not a sightbook library"),
    ):
        with pytest.raises(LibraryError, match=says):
            migrate(place, model)
        with pytest.raises(LibraryError, match=says):
            salvage(place)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_library_that_was_moved_while_it_is_open_is_not_written(tmp_path: Path, model: Model) -> None:
    photos = fill(tmp_path / "photos", 4)
    with Library.open(tmp_path / "library", create_with=model) as library:
        library.add(photos)
        (tmp_path / "library").rename(tmp_path / "moved")
        for write in (lambda: library.add(photos), lambda: library.remove("000.png")):
            with pytest.raises(LibraryError, match="there is no library at"):
                write()
    assert not (tmp_path / "library").exists()
    with Library.open(tmp_path / "moved") as library:
        assert len(library) == 4


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="needs limits of files and /dev/full")
def test_where_no_file_can_grow_a_library_is_read_and_a_writer_says_why(
    library: Library, tmp_path: Path
) -> None:
    library.add(fill(tmp_path / "photos", 4))
    library.close()
    code = (
        "import resource, signal, sys; from sightbook.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "sys.argv[0] = 'sightbook'; main()"
    )

    def without_room(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    found = without_room("search", str(library.path), "photos/002.png", "-k", "1", "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["queries"][0]["hits"][0]["path"] == "002.png"
    fill(tmp_path / "photos", 2, first=5)
    added = without_room("add", str(library.path), "photos", "--jobs", "1")
    assert added.returncode == 1, added.stderr
    assert re.search(r"^sightbook: .*(is full|is larger than the disk or a limit)", added.stderr, re.M), (
        added.stderr
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("json_", [[], ["--json"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_results_that_cannot_be_written_cost_a_sentence(
    library: Library, tmp_path: Path, json_: list[str], unbuffered: str
) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sightbook", "status", str(library.path), *json_],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        1,
        "sightbook: the disk is full: free some space and run the same command again\n",
    )

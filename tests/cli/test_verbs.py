"""add, search, status, remove, run as a user runs them: results, streams, statuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightbook.catalogue.lock import writer_lock
from sightbook.demo.draw import draw
from sightbook.demo.kinds import KINDS
from tests.cli.conftest import Run
from tests.tiny import tiny_model


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model/, other/ (another fingerprint), photos/ (twelve pictures, one of each kind, and a broken one), library/.

    For tests that change nothing.
    """
    folder = tmp_path_factory.mktemp("world")
    tiny_model(folder / "model")
    tiny_model(folder / "other", seed=1)
    for number, kind in enumerate(KINDS):
        path = folder / "photos" / ("patterns" if number < 4 else "things") / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw(kind, np.random.default_rng(number), 32)).save(path)
    (folder / "photos" / "broken.jpg").write_bytes(b"not a picture")
    command = [
        sys.executable,
        "-m",
        "sightbook",
        "add",
        "library",
        "photos",
        "--model",
        "model",
        "--jobs",
        "1",
    ]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def here(world: Path, tmp_path: Path) -> Path:
    """The same without the library and the broken picture, to work in."""
    for name in ("model", "photos"):
        shutil.copytree(world / name, tmp_path / name)
    (tmp_path / "photos" / "broken.jpg").unlink()
    return tmp_path


@pytest.fixture
def library(here: Path, run: Run) -> Path:
    done = run("add", "library", "photos", "--model", "model", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    return here / "library"


def test_learning_anew_names_another_writer_before_it_begins(library: Path, run: Run) -> None:
    with writer_lock(library):
        done = run("migrate", "library", "--learn")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1 and "is being written by process" in done.stderr, (
        "nothing was learned"
    )
    assert not (library / "learning").exists()


def test_add_makes_a_library_and_finds_nothing_new_afterwards(here: Path, run: Run) -> None:
    first = run("add", "library", "photos", "--model", "model", "--jobs", "1")
    assert first.returncode == 0
    assert first.stdout.startswith("12 added, 0 unchanged; took ")
    assert first.stdout.endswith("Next: sightbook search library PICTURE\n")
    assert "encode: 12/12 pictures" in first.stderr
    again = run("add", "library", "photos")
    assert (again.returncode, again.stdout.split(";")[0]) == (0, "0 added, 12 unchanged")


def test_a_mistyped_source_leaves_no_empty_library_behind(here: Path, run: Run) -> None:
    done = run("add", "library", "fotos", "--model", "model")
    assert done.returncode == 1
    assert "There is nothing at 'fotos'" in done.stderr
    assert not (here / "library").exists()


def test_add_json_is_one_document_and_nothing_else_on_standard_output(here: Path, run: Run) -> None:
    (here / "photos" / "broken.jpg").write_bytes(b"not a picture")
    done = run("add", "library", "photos", "--model", "model", "--jobs", "1", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert {key: report[key] for key in ("added", "changed", "unchanged", "missing", "removed", "known_failures")} == {
        "added": 12, "changed": 0, "unchanged": 0, "missing": 0, "removed": 0, "known_failures": 0,
    }  # fmt: skip
    assert [failure["path"] for failure in report["failed"]] == ["broken.jpg"]
    assert "broken.jpg" in done.stderr


def test_add_fails_only_when_no_picture_was_good(here: Path, run: Run) -> None:
    (here / "bad").mkdir()
    (here / "bad" / "a.jpg").write_bytes(b"")
    (here / "bad" / "b.png").write_bytes(b"not a picture")
    done = run("add", "library", "bad", "--model", "model", "--jobs", "1")
    assert done.returncode == 1
    assert done.stdout.startswith("0 added, 0 unchanged, 2 could not be read")
    assert done.stderr.splitlines()[-1] == (
        "sightbook: none of the 2 pictures could be read: `sightbook status library --failures` lists the reasons"
    )
    assert run("add", "library", "bad").returncode == 1  # known failures are failures still


def test_add_retry_reads_again_what_failed_before(here: Path, run: Run) -> None:
    (here / "photos" / "broken.jpg").write_bytes(b"not a picture")
    run("add", "library", "photos", "--model", "model", "--jobs", "1")
    plain, retried = (
        json.loads(run("add", "library", "photos", "--json", *more).stdout) for more in ((), ("--retry",))
    )
    assert (plain["known_failures"], len(plain["failed"])) == (1, 0)
    assert (retried["known_failures"], len(retried["failed"])) == (0, 1)


def test_moved_from_keeps_ids(library: Path, here: Path, run: Run) -> None:
    before = json.loads(run("search", "library", "photos/things/07.png", "--json").stdout)
    old = here / "photos"
    old.rename(here / "pictures")
    done = run("add", "library", "pictures", "--moved-from", old, "--json")
    assert json.loads(done.stdout)["unchanged"] == 12
    after = json.loads(run("search", "library", "pictures/things/07.png", "--json").stdout)
    hits = [[(hit["id"], hit["score"]) for hit in answer["queries"][0]["hits"]] for answer in (before, after)]
    assert hits[0] == hits[1]


def test_search_finds_the_picture_itself_first_and_prints_a_line_per_answer(world: Path, run: Run) -> None:
    done = run("search", "library", "photos/things/07.png", "-k", "3", cwd=world)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and done.stderr == ""
    assert lines[0] == "photos/things/07.png" and len(lines) == 4
    rank, score, where = lines[1].split(maxsplit=2)
    assert (rank, score, where) == ("1", "1.000", str(world / "photos" / "things" / "07.png"))
    best = json.loads(run("search", "library", "photos/things/07.png", "-k", "1", "--json", cwd=world).stdout)
    assert score == f"{best['queries'][0]['hits'][0]['score']:.3f}"


def test_search_json_keeps_queries_apart_and_counts_the_bad_one(world: Path, run: Run) -> None:
    good = ["photos/things/07.png", "photos/patterns/01.png"]
    done = run("search", "library", good[0], "gone.png", good[1], "-k", "2", "--json", cwd=world)
    answer = json.loads(done.stdout)
    assert done.returncode == 0
    assert [entry["query"] for entry in answer["queries"]] == good
    assert [entry["hits"][0]["path"] for entry in answer["queries"]] == ["things/07.png", "patterns/01.png"]
    assert [[hit["rank"] for hit in entry["hits"]] for entry in answer["queries"]] == [[1, 2], [1, 2]]
    assert [failed["query"] for failed in answer["failed"]] == ["gone.png"]
    assert done.stderr.startswith("gone.png is skipped: ")


def test_search_with_nothing_readable_fails_with_one_document(world: Path, run: Run) -> None:
    done = run("search", "library", "gone.png", "--json", cwd=world)
    assert done.returncode == 1
    assert json.loads(done.stdout)["queries"] == []
    assert done.stderr.splitlines()[-1] == "sightbook: none of the pictures to search with could be read"


def test_a_sheet_shows_every_query_and_its_answers(world: Path, tmp_path: Path, run: Run) -> None:
    sizes = []
    for number, queries in enumerate((["things/07.png"], ["things/07.png", "patterns/01.png"])):
        sheet = tmp_path / f"{number}.png"
        images = [f"photos/{query}" for query in queries]
        done = run("search", "library", *images, "-k", "4", "--sheet", sheet, cwd=world)
        assert done.returncode == 0 and done.stdout.endswith(f"Sheet: {sheet}\n")
        with Image.open(sheet) as picture:
            sizes.append(picture.size)
    assert sizes[0][0] == sizes[1][0] and sizes[0][1] < sizes[1][1]


def test_a_sheet_that_cannot_be_drawn_costs_no_answer(world: Path, tmp_path: Path, run: Run) -> None:
    sheet = tmp_path / "s.webp"
    for more in ((), ("--json",)):
        done = run(
            "search", "library", *["photos/things/07.png"] * 60, "-k", "1", "--sheet", sheet, *more, cwd=world
        )
        assert done.returncode == 1 and not sheet.exists()
        assert "pixels, too many for WEBP: ask with fewer pictures" in done.stderr.splitlines()[-1]
        if more:
            assert (len(json.loads(done.stdout)["queries"]), json.loads(done.stdout)["sheet"]) == (60, None)
        else:
            assert done.stdout.count("  1  1.000  ") == 60 and "Sheet:" not in done.stdout


def test_status_tells_pictures_sources_model_and_failures(world: Path, run: Run) -> None:
    done = run("status", "library", cwd=world)
    assert done.returncode == 0
    assert "pictures     12\n" in done.stdout
    assert f"  {world / 'photos'} (folder): 12 pictures\n" in done.stdout
    assert "1 could not be read\n" in done.stdout and f"{world / 'photos' / 'broken.jpg'}: " in done.stdout
    document = json.loads(run("status", "library", "--json", cwd=world).stdout)
    assert (document["pictures"], document["failures"], document["bits"]) == (12, 1, 16)
    assert [source["root"] for source in document["sources"]] == [str(world / "photos")]


def test_status_shortens_a_long_list_of_failures_unless_asked(here: Path, run: Run) -> None:
    for number in range(25):
        (here / "photos" / f"broken{number:02d}.jpg").write_bytes(b"not a picture")
    run("add", "library", "photos", "--model", "model", "--jobs", "1")
    short = run("status", "library").stdout
    assert short.count("broken") == 20 and "... and 5 more: --failures lists them all" in short
    assert run("status", "library", "--failures").stdout.count("broken") == 25


def test_remove_takes_what_a_pattern_matches_and_leaves_the_files(
    library: Path, here: Path, run: Run
) -> None:
    done = run("remove", "library", "patterns/*", "--json")
    assert json.loads(done.stdout) == {"library": "library", "removed": 4}
    assert len(list((here / "photos").rglob("*.png"))) == 12
    assert json.loads(run("status", "library", "--json").stdout)["pictures"] == 8
    assert run("remove", "library", "things/07.png").stdout == "1 removed from library\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("status", "new"),
            "there is no library at new: `sightbook add new SOURCE` makes one",
        ),
        (("add", "new", "nowhere"), "nowhere"),
        (("add", "new", "photos", "--model", "photos"), "photos is not a sightbook model (no config.json)"),
        (("add", "library", "photos", "--model", "other"), "library was made with another model"),
        (("add", "library", "nowhere"), "nowhere"),
        (("search", "photos", "photos/things/07.png"), "photos"),
        (
            ("search", "library", "photos/things/07.png", "--sheet", "sheet.txt"),
            "sheet.txt is no picture file",
        ),
        (("remove", "library", "nothing*"), "library matches 'nothing*'"),
        (("status", "nowhere"), "there is no library at nowhere"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_1(
    arguments: tuple[str, ...], says: str, world: Path, run: Run
) -> None:
    done = run(*arguments, "--json", cwd=world)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("sightbook: ") and says in last
    assert json.loads(done.stdout)["error"]["message"] == last.removeprefix("sightbook: ")


def test_without_json_a_mistake_leaves_standard_output_empty(run: Run) -> None:
    assert run("status", "nowhere").stdout == ""


def test_ctrl_c_keeps_what_was_committed_and_the_next_add_completes_it(here: Path, run: Run) -> None:
    (here / "many").mkdir()
    for number in range(6_000):  # hard links: many pictures in no time
        os.link(here / "photos" / "things" / "07.png", here / "many" / f"{number:05d}.png")
    process = subprocess.Popen(
        [sys.executable, "-m", "sightbook", "add", "library", "many", "--model", "model"],
        cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        while committed(here / "library") == 0:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
        out, err = process.communicate(timeout=100)
    finally:
        process.kill()
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "Stopped; what was committed stays." and "Traceback" not in err
    kept = committed(here / "library")
    assert 0 < kept < 6_000
    report = json.loads(run("add", "library", "many", "--json").stdout)
    assert (report["added"], report["unchanged"]) == (6_000 - kept, kept)


def committed(library: Path) -> int:
    try:
        with sqlite3.connect(f"file:{library / 'catalogue.sqlite'}?mode=ro", uri=True) as connection:
            return int(connection.execute("SELECT count(*) FROM pictures").fetchone()[0])
    except sqlite3.OperationalError:  # not made yet
        return 0

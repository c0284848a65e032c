"""What a source holds and is not taken is said, wherever a source is read; excludes are remembered."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightbook.catalogue.remembered import excludes
from sightbook.cli.status import text
from sightbook.errors import SourceError
from sightbook.evaluate.plots import new_figure, save
from sightbook.evaluate.run import evaluate
from sightbook.images.left_out import sentence
from sightbook.images.sources import open_sources
from sightbook.library.care.salvage import salvage
from sightbook.library.library import Library
from sightbook.model.model import Model
from sightbook.present.sheet import sheet
from sightbook.progress import Notice, Progress
from tests.images.pictures import encoded, gradient, write_folder, write_parquet, write_tar
from tests.library.held import catalogue_of
from tests.library.pictures import fill, picture, write
from tests.tiny import tiny_model

PNG = encoded(gradient())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.open(tiny_model(tmp_path_factory.mktemp("m") / "model"), threads=1)


def groups(found: object) -> dict[tuple[str, str], int]:
    return {(group.reason, group.what): group.count for group in found.left_out}  # type: ignore[attr-defined]


def test_one_picture_among_raw_files_says_what_the_others_are(tmp_path: Path, model: Model) -> None:
    photos = fill(tmp_path / "photos", 1)
    for n in range(11):
        write(photos / f"DSC_{n}.NEF", b"raw")
    write(photos / "notes", b"x")
    write(photos / "Trip to St. Petersburg", b"x")
    write(photos / ".thumbnails" / "a.png", picture(5))
    with Library.open(tmp_path / "l", create_with=model) as library:
        report = library.add(photos)
        assert groups(report) == {("suffix", ".nef"): 11, ("suffix", ""): 2, ("hidden", ""): 1}
        assert report.added == 1
        (source,) = library.status().sources
        assert groups(source) == groups(report)
        assert str(photos / "DSC_3.NEF") in source.left_out[0].names
        shown = text(library.status(), every_failure=False)
        assert "left out: 11 .nef, 2 without a suffix, 1 hidden" in shown
        assert str(photos / "DSC_3.NEF") not in shown
        assert str(photos / "DSC_3.NEF") in text(library.status(), every_failure=False, names=True)
        (photos / "DSC_3.NEF").unlink()
        assert groups(library.add(photos))["suffix", ".nef"] == 10, "it is that of the last scan"


@pytest.mark.parametrize(
    "suffix", [".HIF", ".mpo", ".jif", ".dib", ".apng", ".heics", ".AVIFS", ".pjpeg", ".insp"]
)
def test_every_suffix_of_a_format_that_is_read_is_taken(tmp_path: Path, suffix: str) -> None:
    folder = write_folder(tmp_path / "p", {f"a{suffix}": PNG})
    archive = write_tar(tmp_path / "a.tar", {f"a{suffix}": PNG})
    for source in (folder, archive, folder / f"a{suffix}", tmp_path / "p" / "*"):
        assert [entry.path for entry in open_sources([source]).entries()] == [f"a{suffix}"]


def test_what_sightbook_made_is_no_picture_of_the_collection(tmp_path: Path, model: Model) -> None:
    photos = fill(tmp_path / "photos", 3)
    shutil.copytree(model.folder, photos / "my model")
    figure, _ = new_figure()
    save(figure, photos / "my model" / "train" / "curves.png")
    save(figure, photos / "plots" / "precision.png")
    with Library.open(photos / "library", create_with=model) as library:
        library.add(photos)
        hits = library.search(photos / "000.png", 3)
        for name in ("answer.png", "answer.jpg", "answer.webp"):
            sheet(photos / "000.png", hits, photos / name)
        write(photos / "unfinished" / "train" / "config.yaml", b"M: 8")
        write(photos / "unfinished" / "train" / "log.jsonl", b"{}")
        write(photos / "unfinished" / "train" / "curves.png", picture(7))
        first, again = library.add(photos), library.add(photos)
        for report in (first, again):
            assert (report.failed, report.known_failures, report.missing) == ([], 0, 0)
            assert groups(report) == {
                ("ours", "LIBRARY of sightbook"): 1,
                ("ours", "MODEL of sightbook"): 2,
                ("ours", "sheet or plot of sightbook"): 4,
            }
        status = library.status()
        assert (status.pictures, status.failures, status.sources[0].failures) == (3, 0, 0)
        assert groups(status.sources[0]) == groups(first)
    with pytest.raises(SourceError, match="is a MODEL that sightbook made"):
        open_sources([photos / "my model"])
    with pytest.raises(SourceError, match="is a LIBRARY that sightbook made"):
        open_sources([photos / "library"])
    sources = open_sources([f"{photos}/*"])
    assert groups(sources)["ours", "LIBRARY of sightbook"] == 1, "and in a pattern it costs nothing else"


def test_sheets_of_a_source_that_moved_are_sheets_still(tmp_path: Path, model: Model) -> None:
    photos = fill(tmp_path / "photos", 4)
    (photos / "bad.jpg").write_bytes(b"no picture")
    with Library.open(tmp_path / "library", create_with=model) as library:
        library.add(photos)
        for name in ("one.png", "sub/two.jpg"):
            sheet(photos / "000.png", library.search(photos / "000.png", 3), photos / name)
        before = library.add(photos)
        moved = photos.rename(tmp_path / "moved")
        report = library.add(moved)
        (tmp_path / "outer").mkdir()
        moved.rename(tmp_path / "outer" / "deeper")
        within = library.add(tmp_path / "outer")
        for each in (before, report, within):
            assert (each.unchanged, each.known_failures, groups(each)) == (
                4, 1, {("ours", "sheet or plot of sightbook"): 2},
            )  # fmt: skip
        assert groups(library.status().sources[0]) == groups(within)
    assert sentence(within.left_out) == "2 sheets or plots of sightbook"


def test_somebody_elses_config_and_photos_are_not_taken_for_ours(tmp_path: Path) -> None:
    photos = fill(tmp_path / "p", 2)
    write(photos / "config.json", json.dumps({"fingerprint": 1, "M": 2}).encode())
    write(photos / "train" / "config.yaml", b"x: 1")
    write(photos / "train" / "a.png", picture(3))
    write(photos / "web" / "config.json", b"{}")
    write(photos / "web" / "codebooks.safetensors", b"x")
    write(photos / "web" / "b.png", picture(4))
    paths = [entry.path for entry in open_sources([photos]).entries()]
    assert paths == ["000.png", "001.png", "train/a.png", "web/b.png"]


def test_excludes_are_remembered_by_source_and_shown(tmp_path: Path, model: Model) -> None:
    photos, other = fill(tmp_path / "photos", 4), fill(tmp_path / "other", 2, first=50)
    write(photos / "drafts" / "a.png", picture(20))
    write(other / "drafts" / "b.png", picture(21))
    with Library.open(tmp_path / "l", create_with=model) as library:
        assert library.add(photos, exclude=["drafts"]).added == 4
        assert library.add([photos, other]).added == 3, "another source has its own"
        report = library.add(photos, exclude=["003.*"])
        assert (report.unchanged, report.missing, report.added) == (3, 1, 0), "a new one comes beside the old"
        assert Library.plan(tmp_path / "l", photos).new == []
        first, second = library.status().sources
        assert (first.exclude, second.exclude) == (("drafts", "003.*"), ())
        assert "excluded: drafts, 003.*" in text(library.status(), every_failure=False)
        assert groups(first) == {("excluded", "drafts"): 1, ("excluded", "003.*"): 1}
        moved = photos.rename(tmp_path / "moved")
        assert library.add(moved, moved_from=photos).added == 0, "and go with a source that moves"
        report = library.add(moved, forget_excludes=True, exclude=["drafts"])
        assert (report.added, report.unchanged) == (0, 4)
        assert library.status().sources[0].exclude == ("drafts",)


def test_excludes_go_with_their_source(tmp_path: Path, model: Model) -> None:
    photos = fill(tmp_path / "photos", 2)
    with Library.open(tmp_path / "l", create_with=model) as library:
        library.add(photos, exclude=["001.png"])
        assert library.status().sources[0].exclude == ("001.png",)
        assert library.remove(str(photos)) == 1
        with catalogue_of(library) as catalogue:
            assert excludes(catalogue) == {}


def test_excludes_survive_the_loss_of_a_catalogue(tmp_path: Path, model: Model) -> None:
    photos = fill(tmp_path / "photos", 3)
    with Library.open(tmp_path / "l", create_with=model) as library:
        library.add(photos, exclude=["002.png"])
    salvage(tmp_path / "l")
    with Library.open(tmp_path / "l") as library:
        assert library.status().sources[0].exclude == ("002.png",)
        report = library.add(photos)
        assert (report.added, report.unchanged) == (0, 2)


@pytest.mark.parametrize(
    ("files", "glob", "kept"),
    [
        (["IMG [1].png", "IMG 1.png"], "IMG [1].png", ["IMG 1.png"]),
        (["IMG [1].png", "IMG 1.png", "IMG [2].png"], "IMG [?].png", ["IMG 1.png"]),
        (["IMG 1.png", "IMG 2.png"], "IMG [1].png", ["IMG 2.png"]),
        (["a [x]/1.png", "a x/1.png"], "a [x]", ["a x/1.png"]),
        (["a [x]/1.png", "a x/1.png"], "a [x]/*.png", ["a x/1.png"]),
        (["what?.png", "whats.png"], "what?.png", ["whats.png"]),
        (["cafe\u0301.png", "b.png"], "caf\u00e9.png", ["b.png"]),
        (["top.png", "x/top.png", "b.png"], "**/top.png", ["b.png"]),
        (["x/drafts/1.png", "b.png"], "./x/drafts/", ["b.png"]),
    ],
)
def test_an_exclude_is_the_name_first_and_then_the_pattern(
    tmp_path: Path, files: list[str], glob: str, kept: list[str]
) -> None:
    folder = write_folder(tmp_path / "p", dict.fromkeys(files, PNG))
    archive = write_tar(tmp_path / "a.tar", dict.fromkeys(files, PNG))
    for source in (folder, archive):
        assert [entry.path for entry in open_sources([source], exclude=[glob]).entries()] == kept


def test_an_exclude_that_the_shell_completed_means_what_it_names_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = write_folder(tmp_path / "photos", {"a.png": PNG, "2019/raw/b.png": PNG, "x/2019/raw/c.png": PNG})
    monkeypatch.chdir(tmp_path)
    for glob in ("photos/2019/raw", str(photos / "2019" / "raw"), "2019/raw"):
        found = [entry.path for entry in open_sources(["photos"], exclude=[glob]).entries()]
        assert found == ["a.png", "x/2019/raw/c.png"], glob


def test_an_exclude_that_fits_nothing_is_told_and_one_that_fits_is_not(tmp_path: Path, model: Model) -> None:
    photos, other = fill(tmp_path / "photos", 2), fill(tmp_path / "other", 1, first=9)
    write(photos / "notes.txt", b"x")
    heard: list[str] = []

    def listener(event: Progress | Notice) -> None:
        if isinstance(event, Notice):
            heard.append(event.text)

    with Library.open(tmp_path / "l", create_with=model) as library:
        library.add([photos, other], exclude=["001.png", "*.txt", "darfts"], listener=listener)
        assert heard == [f"the exclude 'darfts' fits nothing in {photos}, {other}"]
        library.add([photos, other], listener=listener)
        assert len(heard) == 1, "of one that is remembered nobody asked"


def test_evaluate_and_train_tell_what_they_left_out(tmp_path: Path, model: Model) -> None:
    from sightbook.learn.train import train

    rng = np.random.default_rng(0)
    for n in range(40):
        path = tmp_path / "p" / f"{n % 2}" / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), np.uint8)).save(path)
    write(tmp_path / "p" / "0" / "x.cr3", b"raw")
    write(tmp_path / "p" / ".cache" / "y.png", picture(1))
    expected = {("suffix", ".cr3"): 1, ("hidden", ""): 1}
    report = evaluate(model, "labelled", tmp_path / "p", jobs=1, R=5)
    assert groups(report) == expected
    assert "left out of the data: 1 .cr3, 1 hidden" in report.text()
    assert report.to_json()["left_out"][0]["names"] == [str(tmp_path / "p" / "0" / "x.cr3")]
    assert type(report).from_json(report.to_json()) == report
    old = {key: value for key, value in report.to_json().items() if key != "left_out"}
    assert type(report).from_json(old).left_out == ()
    learned = train(tmp_path / "p", tmp_path / "learned", backbone="builtin", train_part="head", bits=16)
    assert groups(learned) == expected
    assert learned.to_json()["left_out"][0]["count"] == 1


def test_a_time_that_no_database_holds_costs_nothing(tmp_path: Path, model: Model) -> None:
    photos = fill(tmp_path / "photos", 2)
    try:
        os.utime(photos / "001.png", (0, 2**34))  # the year 2514
    except OSError:
        pytest.skip("this file system has no such time")
    write_parquet(tmp_path / "a.parquet", [PNG])
    os.utime(tmp_path / "a.parquet", (0, 2**34))
    with Library.open(tmp_path / "l", create_with=model) as library:
        assert library.add([photos, tmp_path / "a.parquet"]).added == 3
        assert library.add([photos, tmp_path / "a.parquet"]).unchanged == 3

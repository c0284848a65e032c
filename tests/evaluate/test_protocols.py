"""Which pictures become queries and database, with which labels, in every layout; and what is refused."""

from __future__ import annotations

import io
import tarfile
from contextlib import nullcontext
from pathlib import Path

import pytest

from sightbook.errors import ConfigError, SourceError
from sightbook.evaluate.protocols import PROTOCOLS, load_labelled, protocol
from sightbook.evaluate.published import load_cifar10
from sightbook.evaluate.split import Split
from tests.evaluate.collections import draw, write_csv, write_files, write_parquet
from tests.pictures import KINDS

DRAWN = draw(30)
FILES = {f"{i:02d}.png": data for i, (data, _) in enumerate(DRAWN)}


def paths(split: Split) -> tuple[list[str], list[str]]:
    return [p.entry.path for p in split.queries], [p.entry.path for p in split.database]


def test_cifar10_takes_the_test_part_as_queries_with_class_names(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", DRAWN[:20])
    write_parquet(tmp_path / "test.parquet", DRAWN[20:])
    split = load_cifar10(tmp_path, None, None)
    assert [p.labels for p in split.queries] == [(KINDS[kind],) for _, kind in DRAWN[20:]]
    assert [p.labels for p in split.database] == [(KINDS[kind],) for _, kind in DRAWN[:20]]
    assert [p.entry.read() for p in split.queries] == [data for data, _ in DRAWN[20:]]


@pytest.mark.parametrize(
    ("train", "test", "given"),
    [
        ("train.parquet", "test.parquet", "train.parquet"),
        ("train-00000-of-00001.parquet", "test-00000-of-00001.parquet", ""),
        ("data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet", ""),
    ],
)
def test_the_parts_are_found_where_people_publish_them(
    tmp_path: Path, train: str, test: str, given: str
) -> None:
    folder = tmp_path / "[odd] name"
    (folder / "data").mkdir(parents=True)
    write_parquet(folder / train, DRAWN[:20])
    write_parquet(folder / test, DRAWN[20:])
    split = load_labelled(folder / given, None, None)
    assert (len(split.queries), len(split.database)) == (10, 20)


def test_train_and_test_folders_of_class_folders(tmp_path: Path) -> None:
    write_files(tmp_path / "train", {f"{KINDS[k]}/{i}.png": data for i, (data, k) in enumerate(DRAWN[:20])})
    write_files(tmp_path / "test", {f"{KINDS[k]}/{i}.png": data for i, (data, k) in enumerate(DRAWN[20:])})
    split = load_labelled(tmp_path, None, None)
    assert {p.labels for p in split.queries} == {(name,) for name in KINDS}
    assert all(p.labels == (p.entry.path.split("/")[0],) for p in [*split.queries, *split.database])
    assert split.notes == ("labels are the names of the 6 folders the pictures lie in",)


def test_without_a_test_part_each_tenth_labelled_picture_is_a_query(tmp_path: Path) -> None:
    write_files(tmp_path / "photos", FILES)
    rows = [[name, "even" if i % 2 == 0 else "odd"] for i, name in enumerate(FILES) if i != 3]
    split = load_labelled(tmp_path / "photos", write_csv(tmp_path / "l.csv", ["file", "label"], rows), None)
    left = [name for name in FILES if name != "03.png"]
    assert paths(split) == (left[::10], [name for i, name in enumerate(left) if i % 10])
    assert split.unlabelled == 1
    assert any(
        "1 picture without a label (empty, -1, null or not a number) was left out" in n for n in split.notes
    )
    assert [(group.reason, group.count, len(group.names)) for group in split.left_out] == [("label", 1, 1)]


def test_rows_find_files_by_path_within_the_parts_and_by_name(tmp_path: Path) -> None:
    write_files(tmp_path / "train", {f"x/{name}": data for name, data in list(FILES.items())[:20]})
    write_files(tmp_path / "test", dict(list(FILES.items())[20:]))
    files = [f"./train/x/{i:02d}.png" for i in range(10)]
    files += [f"x\\{i:02d}.png" for i in range(10, 15)] + [f"{i:02d}.png" for i in range(15, 30)]
    labels = write_csv(tmp_path / "l.csv", ["file", "label"], [[file, file[-6:-4]] for file in files])
    split = load_labelled(tmp_path, labels, None)
    assert [p.labels for p in split.database] == [(f"{i:02d}",) for i in range(20)]
    assert [p.labels for p in split.queries] == [(f"{i:02d}",) for i in range(20, 30)]


def test_several_labels_stand_in_one_cell_of_the_column_labels(tmp_path: Path) -> None:
    write_files(tmp_path / "p", FILES)
    rows = [[name, "sky; sea;sky" if i % 2 else "sea", "me"] for i, name in enumerate(FILES)]
    split = load_labelled(tmp_path / "p", write_csv(tmp_path / "l.csv", ["file", "labels", "by"], rows), "by")
    assert [p.labels for p in split.database[:2]] == [("sea", "sky"), ("sea",)]
    assert split.database[0].metadata["by"] == "me"


def test_a_tar_brings_its_own_labels(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "p.tar", "w") as archive:
        for i, (data, kind) in enumerate(DRAWN):
            for name, content in ((f"{i:02d}.png", data), (f"{i:02d}.cls", str(kind).encode())):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    split = load_labelled(tmp_path / "p.tar", None, None)
    assert [p.labels for p in split.queries] == [(str(DRAWN[i][1]),) for i in (0, 10, 20)]


def test_minus_one_means_not_labelled(tmp_path: Path) -> None:
    write_parquet(
        tmp_path / "p.parquet", [(data, -1 if i < 5 else kind) for i, (data, kind) in enumerate(DRAWN)]
    )
    split = load_labelled(tmp_path / "p.parquet", None, None)
    assert (split.unlabelled, len(split.queries), len(split.database)) == (5, 3, 22)
    write_parquet(
        tmp_path / "q.parquet", [(data, None if i < 5 else kind) for i, (data, kind) in enumerate(DRAWN)]
    )
    assert load_labelled(tmp_path / "q.parquet", None, None).unlabelled == 5


def test_classes_missing_from_a_part_are_told(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", [(data, 0) for data, _ in DRAWN[:20]])
    write_parquet(tmp_path / "test.parquet", [(data, 1) for data, _ in DRAWN[20:]])
    assert load_cifar10(tmp_path, None, None).notes == (
        f"1 class has no database picture: {KINDS[1]}",
        f"1 class has no query: {KINDS[0]}",
    )


def test_files_of_the_list_that_are_absent_are_told(tmp_path: Path) -> None:
    write_files(tmp_path / "p", FILES)
    labels = write_csv(tmp_path / "l.csv", ["file", "label"], [*([n, n] for n in FILES), ["gone.png", "a"]])
    split = load_labelled(tmp_path / "p", labels, None)
    assert split.notes[:1] == ("1 file in l.csv is not among the pictures, such as 'gone.png'",)


@pytest.mark.parametrize(
    ("header", "rows", "junk", "says"),
    [
        (["name", "label"], [["00.png", "a"]], None, "no column 'file' .it has name, label."),
        (["file", "class"], [["00.png", "a"]], None, "neither a column 'label' nor 'labels'"),
        (["file", "label"], [["00.png", "a"]], "sender", "no column 'sender' for the junk rule"),
        (["file", "label"], [], None, "has no rows"),
        (["file", "label"], [["x.png", "a"]], None, "none of 1 file in .* is among the pictures"),
        (["file", "label"], [["00.png", "a"], ["00.png", "b"]], None, "'00.png' stands twice"),
        (["file", "label"], [["00.png", ""]], None, "there is no labelled query"),
        (["file", "label"], [["00.png", "a"]], None, "there is no labelled database picture"),
    ],
)
def test_a_bad_list_is_refused_in_one_sentence(
    tmp_path: Path, header: list[str], rows: list[list[str]], junk: str | None, says: str
) -> None:
    write_files(tmp_path / "p", FILES)
    with pytest.raises(ConfigError, match=says):
        load_labelled(tmp_path / "p", write_csv(tmp_path / "l.csv", header, rows), junk)


def test_a_name_that_could_mean_two_pictures_is_refused(tmp_path: Path) -> None:
    write_files(tmp_path / "p", {"a/x.png": DRAWN[0][0], "b/x.png": DRAWN[1][0], "b/y.png": DRAWN[2][0]})
    labels = write_csv(tmp_path / "l.csv", ["file", "label"], [["x.png", "a"]])
    with pytest.raises(ConfigError, match=r"could mean 2 pictures, such as 'a/x.png' and 'b/x.png'"):
        load_labelled(tmp_path / "p", labels, None)


def test_a_list_that_is_absent_or_no_text_is_refused(tmp_path: Path) -> None:
    write_files(tmp_path / "p", FILES)
    with pytest.raises(SourceError, match="does not exist"):
        load_labelled(tmp_path / "p", tmp_path / "l.csv", None)
    (tmp_path / "l.csv").write_bytes(DRAWN[0][0])
    with pytest.raises(SourceError, match="cannot be read as UTF-8 text"):
        load_labelled(tmp_path / "p", tmp_path / "l.csv", None)


def test_pictures_without_any_label_are_refused(tmp_path: Path) -> None:
    write_files(tmp_path / "p", FILES)
    with pytest.raises(ConfigError, match="have no labels: give a CSV file"):
        load_labelled(tmp_path / "p", None, None)
    with pytest.raises(ConfigError, match="the junk rule needs a labels file"):
        load_labelled(tmp_path / "p", None, "sender")


def test_cifar10_without_its_files_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train.parquet and test.parquet.*uoft-cs/cifar10"):
        load_cifar10(tmp_path, None, None)
    with pytest.raises(SourceError, match="there is nothing at"):
        load_cifar10(tmp_path / "absent", None, None)
    with pytest.raises(ConfigError, match="brings its own labels"):
        load_cifar10(tmp_path, tmp_path / "l.csv", None)


def test_an_unknown_protocol_is_refused_with_the_names() -> None:
    with pytest.raises(
        ConfigError,
        match=r"unknown protocol 'cifar'.*cifar10-I, cifar10-II, flickr25k, nus-wide-21, labelled",
    ):
        protocol("cifar")
    assert [(p.name, p.R, p.sizes) for p in PROTOCOLS.values()] == [
        ("cifar10-I", 1000, (10_000, 50_000)),
        ("cifar10-II", 1000, (10_000, 50_000)),
        ("flickr25k", 5000, (2_000, 23_000)),
        ("nus-wide-21", 5000, (2_100, 193_734)),
        ("labelled", 100, None),
    ]


@pytest.mark.parametrize(("name", "told"), [("test", False), ("val", True), ("validation", True)])
def test_a_part_called_val_asks_where_there_is_no_test(tmp_path: Path, name: str, told: bool) -> None:
    for part, some in (("train", DRAWN[:20]), (name, DRAWN[20:])):
        write_files(tmp_path / part, {f"{KINDS[k]}/{i}.png": data for i, (data, k) in enumerate(some)})
    split = load_labelled(tmp_path, None, None)
    assert (len(split.queries), len(split.database)) == (10, 20)
    assert {label for picture in split.database for label in picture.labels} == set(KINDS)
    assert (f"there is no part called test: the queries are those of {name}" in split.notes) == told
    labels = [[f"{name}/{p.entry.path}", "x"] for p in split.queries] + [
        [p.entry.path, "y"] for p in split.database
    ]
    listed = load_labelled(tmp_path, write_csv(tmp_path / "l.csv", ["file", "label"], labels), None)
    assert {p.labels for p in listed.queries} == {("x",)}
    with pytest.raises(ConfigError, match="holds no train and test parts") if told else nullcontext():
        load_cifar10(tmp_path, None, None)


@pytest.mark.parametrize("names", [("Training", "Test"), ("train",), ("training", "dev", "Validation")])
def test_folders_that_are_parts_are_no_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        write_files(
            tmp_path / "p" / name, {f"{KINDS[k]}/{i}.png": data for i, (data, k) in enumerate(DRAWN[:6])}
        )
    with pytest.raises(
        ConfigError, match=rf"\({', '.join(sorted(names))}\) are parts of a collection, not classes"
    ):
        load_labelled(tmp_path / "p", None, None)


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_a_validation_cut_of_numbered_class_folders_asks_for_every_class(
    tmp_path: Path, classes: int
) -> None:
    for kind in KINDS[:classes]:
        write_files(tmp_path / kind, {f"{i:03d}.png": DRAWN[i % 30][0] + bytes([i]) for i in range(60)})
    split = load_labelled(tmp_path, None, None).validation()
    assert {p.labels for p in split.queries} == {(kind,) for kind in KINDS[:classes]}
    assert len(split.queries) == -(-(60 * classes - 6 * classes) // 10)


def test_a_quote_that_is_not_closed_loses_no_row_silently_and_lines_before_the_names_are_nothing(
    tmp_path: Path,
) -> None:
    write_files(tmp_path / "p", FILES)
    rows = "".join(f"{name},a\n" for name in FILES)
    listed = tmp_path / "l.csv"
    for text in (f'file,label\n00.png,"a\n{rows}', f'file,label\n"00.png,a\n{rows}'):
        listed.write_text(text)
        with pytest.raises(SourceError, match=r"l\.csv is damaged at line \d+ \(unexpected end of data\)"):
            load_labelled(tmp_path / "p", listed, None)
    for text in (
        f"\n\r\nfile,label\n{rows}",
        "file,label\n" + rows.replace(",a", ',5" inch'),
        f"\nfile;label\n{rows}",
    ):
        listed.write_text(text.replace(",", ";") if ";" in text else text)
        assert len(load_labelled(tmp_path / "p", listed, None).database) == 27

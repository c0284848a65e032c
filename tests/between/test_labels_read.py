"""Labels as people and programs write them, from a column, a sidecar or a CSV to the split that is judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sightbook.errors import ConfigError, SourceError
from sightbook.evaluate.protocols import load_labelled
from sightbook.evaluate.run import evaluate
from sightbook.evaluate.split import Split
from sightbook.images.sources import open_sources
from sightbook.images.vectors import read_vectors
from sightbook.model.model import Model
from tests.images.pictures import write_folder, write_parquet, write_tar
from tests.library.pictures import picture
from tests.tiny import tiny_model

PICTURES = [picture(n) for n in range(24)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.open(tiny_model(tmp_path_factory.mktemp("m") / "model"), threads=1)


def labels_of(split: Split) -> list[tuple[str, ...]]:
    """The labels in the order of the rows."""
    pictures = sorted(
        [*split.queries, *split.database], key=lambda each: (len(each.entry.path), each.entry.path)
    )
    return [each.labels for each in pictures]


def parquet(path: Path, columns: dict[str, Any], features: dict[str, Any] | None = None) -> Path:
    table = pa.table({"image": pa.array(PICTURES, pa.binary()), **columns})
    if features is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path)
    return path


NONE: dict[str, list[Any]] = {
    "minus one": [-1, 3, 4],
    "null": [None, 3, 4],
    "minus one as a float": [-1.0, 3.0, 4.0],
    "not a number": [float("nan"), 3.0, 4.0],
    "empty": ["", "cat", "dog"],
    "blank": ["  ", "cat", "dog"],
    "minus one as text": ["-1", "cat", "dog"],
    "nan as text": ["NaN", "cat", "dog"],
    "empty list": [[], [3], [4]],
    "list of minus one": [[-1], [3], [4]],
}


@pytest.mark.parametrize("spelling", NONE)
def test_no_label_is_left_out_counted_and_named_however_it_is_written(
    tmp_path: Path, model: Model, spelling: str
) -> None:
    file = parquet(tmp_path / "a.parquet", {"label": pa.array(NONE[spelling] * 8)})
    report = evaluate(model, "labelled", file, jobs=1, R=5)
    assert (report.queries + report.database, report.unlabelled, report.classes) == (16, 8, 2)
    (group,) = report.left_out
    assert (group.reason, group.count, group.names[:2]) == ("label", 8, [f"{file} row 0", f"{file} row 3"])
    assert "8 pictures without a label (empty, -1, null or not a number) were left out" in report.text()


def test_words_that_may_be_a_class_stay(tmp_path: Path) -> None:
    file = parquet(tmp_path / "a.parquet", {"label": pa.array(["none", "unknown", "NA"] * 8)})
    split = load_labelled(file, None, None)
    assert set(labels_of(split)) == {("none",), ("unknown",), ("NA",)}
    assert split.unlabelled == 0


@pytest.mark.parametrize("none", ["-1", "", "nan", "NULL", "<NA>", " -1 "])
def test_no_label_in_a_sidecar_and_in_a_csv(tmp_path: Path, none: str) -> None:
    files: dict[str, bytes] = {}
    for n, data in enumerate(PICTURES):
        text = none if n % 3 == 0 else str(n % 3)
        files |= {f"{n:02}.png": data, f"{n:02}.cls": text.encode()}
    write_tar(tmp_path / "a.tar", files)
    assert load_labelled(tmp_path / "a.tar", None, None).unlabelled == 8
    rows = [f'{n:02}.png,"{none if n % 3 == 0 else n % 3}"' for n in range(24)]
    (tmp_path / "l.csv").write_text("\n".join(["file,label", *rows]))
    folder = write_folder(tmp_path / "p", {f"{n:02}.png": data for n, data in enumerate(PICTURES)})
    split = load_labelled(folder, tmp_path / "l.csv", None)
    assert (split.unlabelled, {each.labels for each in split.database}) == (8, {("1",), ("2",)})


def test_no_label_among_several_of_a_csv(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "p", {f"{n:02}.png": data for n, data in enumerate(PICTURES)})
    rows = [f"{n:02}.png,{'-1' if n == 0 else 'a;-1;;b' if n == 1 else 'b'}" for n in range(24)]
    (tmp_path / "l.csv").write_text("\n".join(["file,labels", *rows]))
    split = load_labelled(folder, tmp_path / "l.csv", None)
    assert (split.unlabelled, labels_of(split)[0]) == (1, ("a", "b"))


KINDS: dict[str, tuple[Any, list[tuple[str, ...]]]] = {
    "floats": (pa.array([0.0, 1.5, 2.0] * 8), [("0",), ("1.5",), ("2",)]),
    "yes and no": (pa.array([True, False, True] * 8), [("true",), ("false",), ("true",)]),
    "lists": (pa.array([[1, 2], [2], [3]] * 8), [("1", "2"), ("2",), ("3",)]),
    "lists of text": (pa.array([["a", "b"], ["b"], ["c"]] * 8), [("a", "b"), ("b",), ("c",)]),
    "dictionary": (pa.array(["a", "b", "a"] * 8).dictionary_encode(), [("a",), ("b",), ("a",)]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_any_type_are_read_and_their_column_chosen(tmp_path: Path, kind: str) -> None:
    values, wanted = KINDS[kind]
    file = parquet(tmp_path / "a.parquet", {"label": values})
    assert labels_of(load_labelled(file, None, None))[:3] == wanted
    file = parquet(tmp_path / "b.parquet", {"fine_label": values, "coarse_label": pa.array([7] * 24)})
    with pytest.raises(ConfigError, match="choose one of fine_label, coarse_label by --label-column"):
        load_labelled(file, None, None)
    assert labels_of(load_labelled(file, None, None, "fine_label"))[:3] == wanted
    with pytest.raises(ConfigError, match=r"no column 'fein' .* those that can are fine_label, coarse_label"):
        load_labelled(file, None, None, "fein")


def test_names_of_the_column_that_is_asked_for(tmp_path: Path) -> None:
    features = {
        "fine": {"names": ["x", "y", "z"], "_type": "ClassLabel"},
        "many": {"feature": {"names": ["p", "q"], "_type": "ClassLabel"}, "_type": "Sequence"},
        "more": [{"names": ["r", "s"], "_type": "ClassLabel"}],
    }
    columns = {
        "fine": pa.array([0, 2, -1] * 8), "many": pa.array([[0, 1], [1], [0]] * 8),
        "more": pa.array([[0], [1], [5]] * 8),
    }  # fmt: skip
    file = parquet(tmp_path / "a.parquet", columns, features)
    assert labels_of(load_labelled(file, None, None, "fine"))[:2] == [("x",), ("z",)]
    assert labels_of(load_labelled(file, None, None, "many"))[:3] == [("p", "q"), ("q",), ("p",)]
    split = load_labelled(file, None, None, "more")
    assert (labels_of(split)[:2], split.unlabelled) == ([("r",), ("s",)], 8), (
        "a number without a name is none"
    )


def test_the_key_of_json_sidecars_and_the_column_beside_vectors(tmp_path: Path) -> None:
    files = {}
    for n, data in enumerate(PICTURES):
        files |= {f"{n:02}.png": data, f"{n:02}.json": json.dumps({"kind": n % 2, "size": 5}).encode()}
    write_tar(tmp_path / "a.tar", files)
    with pytest.raises(ConfigError, match="choose one of kind, size by --label-column"):
        load_labelled(tmp_path / "a.tar", None, None)
    split = load_labelled(tmp_path / "a.tar", None, None, "kind")
    assert labels_of(split)[:3] == [("0",), ("1",), ("0",)]
    vectors = [np.ones(4, np.float32).tolist()] * 24
    pq.write_table(
        pa.table({"embedding": pa.array(vectors, pa.list_(pa.float32())), "y": pa.array(["a", "b"] * 12)}),
        tmp_path / "v.parquet",
    )
    assert labels_of(load_labelled(tmp_path / "v.parquet", None, None, "y"))[:2] == [("a",), ("b",)]
    assert read_vectors(tmp_path / "v.parquet").shape == (24, 4)


def csv_folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "my photos", {f"x/{n:02}.png": data for n, data in enumerate(PICTURES)})


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "sep"])
@pytest.mark.parametrize("header", ["file", "file_name", "Filename", "path", "image"])
def test_a_csv_as_spreadsheets_and_the_hub_write_it(
    tmp_path: Path, separator: str, encoding: str, header: str
) -> None:
    folder = csv_folder(tmp_path)
    rows = [f"x/{n:02}.png{separator}{'größe' if n % 2 else 'b'}" for n in range(24)]
    text = "\r\n".join([f"{header}{separator}Label", *rows])
    data = f"sep={separator}\r\n{text}".encode() if encoding == "sep" else text.encode(encoding)
    (tmp_path / "l.csv").write_bytes(data)
    split = load_labelled(folder, tmp_path / "l.csv", None)
    assert labels_of(split)[:2] == [("b",), ("größe",)]
    assert split.unlabelled == 0


@pytest.mark.parametrize("place", ["here", "/home/somebody/pictures", "C:\\Users\\me\\pictures", "resolved"])
def test_absolute_paths_are_those_of_the_data_or_of_where_it_lay(tmp_path: Path, place: str) -> None:
    folder = csv_folder(tmp_path)
    (tmp_path / "link").symlink_to(folder)
    root = {"here": str(folder), "resolved": str(tmp_path / "link")}.get(place, place)
    slash = "\\" if "\\" in root else "/"
    rows = [f"{root}{slash}x{slash}{n:02}.png,{n % 2}" for n in range(24)]
    rows += [f"{slash}elsewhere{slash}x{slash}00.png,9"]
    (tmp_path / "l.csv").write_text("\n".join(["file,label", *rows]))
    given = tmp_path / "link" if place == "resolved" else folder
    split = load_labelled(given, tmp_path / "l.csv", None)
    assert labels_of(split)[:2] == [("0",), ("1",)]
    assert (
        split.notes[0].startswith("1 file in l.csv is not among the pictures")
        and "elsewhere" in split.notes[0]
    )


def test_a_column_of_a_csv_is_chosen(tmp_path: Path) -> None:
    folder = csv_folder(tmp_path)
    rows = [f"x/{n:02}.png,{n % 2},{n % 3}" for n in range(24)]
    (tmp_path / "l.csv").write_text("\n".join(["file,species,site", *rows]))
    with pytest.raises(ConfigError, match=r"it has file, species, site.*--label-column"):
        load_labelled(folder, tmp_path / "l.csv", None)
    assert labels_of(load_labelled(folder, tmp_path / "l.csv", None, "site"))[:3] == [("0",), ("1",), ("2",)]
    with pytest.raises(ConfigError, match="no column 'sight' of labels: choose among file, species, site"):
        load_labelled(folder, tmp_path / "l.csv", None, "sight")


def test_a_cloned_data_set_is_found_or_its_pattern_proposed(tmp_path: Path) -> None:
    hub = write_folder(tmp_path / "hf [v1]", {"README.md": b"x", ".git/config": b"x", "data/x": b""})
    for part in ("train", "test"):
        parquet(hub / "data" / f"{part}-00000-of-00001.parquet", {"label": pa.array([0, 1] * 12)})
    with pytest.raises(SourceError, match="2 archives such as data/test-00000") as caught:
        open_sources([hub])
    proposed = str(caught.value).rpartition("give '")[2].removesuffix("'.")
    assert len(open_sources([proposed])) == 2, "the pattern that it proposes works as it stands"
    assert (len(load_labelled(hub, None, None).queries)) == 24
    (hub / "data" / "train-00001-of-00002.parquet").write_text(
        "version https://git-lfs.github.com/spec/v1\noid x"
    )
    with pytest.raises(SourceError, match=r"is a pointer of Git LFS, .*git lfs pull"):
        open_sources([proposed])
    deep = tmp_path / "deep"
    for name in ("a", "b"):
        write_folder(deep / name, {})
        (deep / name).mkdir(parents=True, exist_ok=True)
        write_tar(deep / name / "x.tar", {"a.png": PICTURES[0]})
    with pytest.raises(SourceError, match=r"deep/\*\*/\*\.tar'"):
        open_sources([deep])
    assert len(open_sources([f"{deep}/**/*.tar"])) == 2
    config = tmp_path / "cifar10" / "plain_text"
    config.mkdir(parents=True)
    for part in ("train", "test"):
        write_parquet(config / f"{part}-00000-of-00001.parquet", PICTURES, [0, 1] * 12)
    assert len(load_labelled(tmp_path / "cifar10", None, None).queries) == 24


def split_of(tmp_path: Path, lines: list[str]) -> Split:
    folder = tmp_path / "my photos"
    if not folder.exists():
        csv_folder(tmp_path)
    (tmp_path / "l.csv").write_text("\n".join(lines), encoding="utf-8")
    return load_labelled(folder, tmp_path / "l.csv", None)


def test_a_comma_in_a_label_of_a_csv_makes_no_other_class(tmp_path: Path) -> None:
    rows = [f'x/{n:02}.png, "cat, {"big" if n % 2 else "small"}"' for n in range(24)]
    assert labels_of(split_of(tmp_path, ["file, label", *rows]))[:2] == [("cat, small",), ("cat, big",)]
    bare = [f"x/{n:02}.png,cat, {'big' if n % 2 else 'small'}" for n in range(24)]
    with pytest.raises(
        ConfigError, match=r"line 2 of the labels file .* has more cells than there are columns: .* in quotes"
    ):
        split_of(tmp_path, ["file,label", *bare])
    assert labels_of(split_of(tmp_path, ["file,label", *(f"x/{n:02}.png,{n % 2},, " for n in range(24))]))[
        1
    ] == ("1",)


def test_two_columns_of_labels_with_one_name_are_refused(tmp_path: Path) -> None:
    for header in ("file,label,label", "file,label,file"):
        with pytest.raises(
            ConfigError, match=r"has two columns '(label|file)': rename the one that is not meant"
        ):
            split_of(tmp_path, [header, *(f"x/{n:02}.png,{n % 2},x,x" for n in range(24))])


def test_letters_composed_and_decomposed_are_one_label(tmp_path: Path) -> None:
    forms = ["caf\u00e9", "cafe\u0301"]
    rows = [f"x/{n:02}.png,{forms[n % 2]}" for n in range(24)]
    assert set(labels_of(split_of(tmp_path, ["file,label", *rows]))) == {("caf\u00e9",)}
    table = parquet(tmp_path / "a.parquet", {"label": [forms[n % 2] for n in range(24)]})
    assert set(labels_of(load_labelled(table, None, None))) == {("caf\u00e9",)}
    write_folder(
        tmp_path / "classes", {f"{forms[n % 2]}/{n:02}.png": data for n, data in enumerate(PICTURES)}
    )
    assert set(labels_of(load_labelled(tmp_path / "classes", None, None))) == {("caf\u00e9",)}


def test_a_label_that_every_picture_has_beside_others_is_told(tmp_path: Path) -> None:
    rows = [f"x/{n:02}.png,{'photo;cat' if n % 2 else 'photo'}" for n in range(24)]
    notes = split_of(tmp_path, ["file,labels", *rows]).notes
    assert "every picture has the label photo: any order of the answers is right" in notes

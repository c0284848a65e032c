"""The published collections, in small made-up copies of their official layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sightbook
from sightbook.errors import ConfigError, SourceError
from sightbook.evaluate import published
from sightbook.evaluate.protocols import PROTOCOLS, load_labelled
from sightbook.evaluate.published import load_cifar10, load_cifar10_ii, load_flickr25k, load_nus_wide_21
from sightbook.evaluate.run import evaluate
from sightbook.evaluate.split import Split
from sightbook.images.pixels.decode import decode
from sightbook.images.sources import open_source
from tests.evaluate.collections import draw, write_files, write_parquet
from tests.tiny import tiny_model

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
RANDOM = np.random.default_rng(2)


def write_batches(folder: Path) -> dict[str, list[tuple[int, np.ndarray]]]:
    """The binary version: five training batches of four records, a test batch of six."""
    folder.mkdir(parents=True)
    written = {}
    for name, count in [*((f"data_batch_{n}.bin", 4) for n in range(1, 6)), ("test_batch.bin", 6)]:
        records = [
            (int(RANDOM.integers(3)), RANDOM.integers(0, 256, (32, 32, 3), np.uint8)) for _ in range(count)
        ]
        (folder / name).write_bytes(
            b"".join(bytes([label]) + pixels.transpose(2, 0, 1).tobytes() for label, pixels in records)
        )
        written[name] = records
    (folder / "batches.meta.txt").write_text("\n".join(CLASSES) + "\n\n")
    return written


@pytest.mark.parametrize("inside", ["", "cifar-10-batches-bin"])
def test_cifar10_in_its_binary_version(tmp_path: Path, inside: str) -> None:
    written = write_batches(tmp_path / "a b" / inside)
    split = load_cifar10(tmp_path / "a b", None, None)
    assert (len(split.queries), len(split.database)) == (6, 20)
    for picture, (label, pixels) in zip(split.queries, written["test_batch.bin"], strict=True):
        assert picture.labels == (CLASSES[label],)
        np.testing.assert_array_equal(decode(picture.entry.read()), pixels)
    first = [each for each in split.database if each.entry.locator.endswith("data_batch_3.bin row 2")]
    np.testing.assert_array_equal(decode(first[0].entry.read()), written["data_batch_3.bin"][2][1])


def test_a_batch_is_a_source_like_any_other(tmp_path: Path) -> None:
    write_batches(tmp_path / "c")
    sources = open_source(f"{tmp_path}/c/data_batch_*.bin")
    assert [source.kind for source in sources] == ["cifar"] * 5
    (tmp_path / "c" / "notes.bin").write_bytes(b"no batch")
    with pytest.raises(SourceError, match="is no source"):
        open_source(tmp_path / "c" / "notes.bin")


def test_cifar10_in_class_folders_and_the_pickled_version(tmp_path: Path) -> None:
    drawn = draw(20, side=32)
    for part, pictures in (("train", drawn[:14]), ("test", drawn[14:])):
        write_files(
            tmp_path / "f" / part,
            {f"{CLASSES[kind]}/{i}.png": data for i, (data, kind) in enumerate(pictures)},
        )
    split = load_cifar10(tmp_path / "f", None, None)
    assert {picture.labels for picture in split.database} == {(name,) for name in CLASSES[:6]}
    (tmp_path / "py" / "cifar-10-batches-py").mkdir(parents=True)
    (tmp_path / "py" / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"\x80\x02}q\x01.")
    with pytest.raises(
        ConfigError, match=r"Python version of CIFAR-10, which is pickled.* get CIFAR-10 as train\.parq"
    ):
        load_cifar10(tmp_path / "py", None, None)
    with pytest.raises(SourceError, match=r"there is nothing at .*: check the path, or get CIFAR-10"):
        load_cifar10(tmp_path / "nowhere", None, None)


def test_protocol_two_trains_on_so_many_of_each_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "CIFAR_TRAINING", 3)
    drawn = draw(60)
    write_parquet(tmp_path / "train.parquet", drawn[:48])
    write_parquet(tmp_path / "test.parquet", drawn[48:])
    split = load_cifar10_ii(tmp_path, None, None)
    assert split.training is not None and len(split.database) == 48
    counts = {
        name: sum(p.labels == (name,) for p in split.training)
        for name in {p.labels[0] for p in split.database}
    }
    assert set(counts.values()) == {3} and len(counts) == 6
    sources, keys = split.training_part()
    assert sources == [str(tmp_path / "train.parquet")] and len(keys) == 18
    report = sightbook.train(
        sources, tmp_path / "m", only=keys, epochs=0, jobs=1,
        settings={"batch": 8, "precision": "fp32", "backbone": {"stem_width": 8, "widths": [8], "depths": [1]}},
    )  # fmt: skip
    assert report.pictures + report.verdict["pictures"] == 18
    assert load_cifar10(tmp_path, None, None).training is None


def image(folder: Path, name: str, number: int) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    shade = np.full((8, 8, 3), number % 256, np.uint8)
    shade[0, 0] = (number // 256, 7, 9)
    Image.fromarray(shade).save(path)


FLICKR = [
    "animals", "baby", "bird", "car", "clouds", "dog", "female", "flower", "food", "indoor", "lake", "male", "night",
    "people", "plant_life", "portrait", "river", "sea", "sky", "structures", "sunset", "transport", "tree", "water",
]  # fmt: skip


def write_flickr(folder: Path, count: int = 60) -> dict[int, set[str]]:
    """Pictures and annotations as the two published archives hold them; each seventh picture has no label."""
    for number in range(1, count + 1):
        image(folder / "mirflickr", f"im{number}.jpg", number)
    (folder / "mirflickr" / "doc").mkdir()
    notes = folder / "mirflickr25k_annotations_v080"
    notes.mkdir()
    (notes / "README.txt").write_text("about these files")
    truth: dict[int, set[str]] = {number: set() for number in range(1, count + 1)}
    for place, name in enumerate(FLICKR):
        numbers = [n for n in truth if n % 7 and (n * 31 + place * 17) % 9 == 0]
        (notes / f"{name}.txt").write_text("".join(f"{n}\r\n" for n in numbers))
        for n in numbers:
            truth[n].add(name)
    (notes / "baby_r1.txt").write_text("1\n2\n3\n")  # the stricter annotations are not used
    return truth


def numbers(pictures: list[published.Picture]) -> list[int]:
    return [int(p.entry.path.removeprefix("im").removesuffix(".jpg")) for p in pictures]


@pytest.fixture
def flickr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[int, set[str]]]:
    monkeypatch.setattr(published, "FLICKR_QUERIES", 12)
    monkeypatch.setattr(published, "FLICKR_TRAINING", 20)
    return tmp_path, write_flickr(tmp_path)


def test_flickr25k_in_its_official_layout(flickr: tuple[Path, dict[int, set[str]]]) -> None:
    folder, truth = flickr
    split = load_flickr25k(folder, None, None)
    assert (len(split.queries), len(split.database)) == (12, 48)
    assert sorted(numbers(split.queries) + numbers(split.database)) == list(range(1, 61))
    for picture in [*split.queries, *split.database]:
        assert set(picture.labels) == truth[numbers([picture])[0]]
    assert all(picture.labels for picture in split.queries)
    bare = sum(not picture.labels for picture in split.database)
    assert (
        bare >= 8
        and f"{bare} pictures of the database have none of the labels: right answers to no query"
        in split.notes
    )
    assert split.training is not None and len(split.training) == 20
    assert set(numbers(split.training)) <= set(numbers(split.database))
    assert load_flickr25k(folder, None, None) == split, "the same split each time"


def test_flickr25k_is_judged_by_shared_labels(
    flickr: tuple[Path, dict[int, set[str]]], tmp_path: Path
) -> None:
    folder, truth = flickr
    model = tiny_model(tmp_path / "model", M=4, d=4, size=16)
    report = evaluate(model, "flickr25k", folder, jobs=1)
    assert (report.queries, report.database, report.R) == (12, 48, 48)
    split = load_flickr25k(folder, None, None)
    relevant = [
        sum(bool(truth[q] & truth[n]) for n in numbers(split.database)) for q in numbers(split.queries)
    ]
    assert report.baselines["random"].precision["1"] == pytest.approx(sum(relevant) / 12 / 48)


def test_flickr25k_with_something_missing(flickr: tuple[Path, dict[int, set[str]]]) -> None:
    folder, _ = flickr
    (folder / "mirflickr" / "im9.jpg").unlink()
    (folder / "mirflickr25k_annotations_v080" / "water.txt").unlink()
    split = load_flickr25k(folder, None, None)
    assert "23 labels instead of 24" in split.notes
    assert any("1 annotated picture is not in mirflickr" in note for note in split.notes)
    (folder / "mirflickr25k_annotations_v080" / "sea.txt").write_text("12\ntwelve\n")
    with pytest.raises(SourceError, match=r"sea\.txt holds a line that is no picture's number"):
        load_flickr25k(folder, None, None)
    (folder / "mirflickr25k_annotations_v080" / "animals.txt").unlink()
    with pytest.raises(
        SourceError, match=r"there is no animals\.txt in .*: get mirflickr25k\.zip and mirflickr25k_anno"
    ):
        load_flickr25k(folder, None, None)
    with pytest.raises(ConfigError, match="brings its own labels"):
        load_flickr25k(folder, Path("x.csv"), None)


def write_nus_wide(folder: Path, *, flat: bool = False) -> tuple[list[str], dict[str, list[int]]]:
    """Image list, 24 labels of which 21 are frequent, and pictures, every tenth of which is dead."""
    listed = [f"{('actor', 'zebra')[n % 2]}\\{n:04d}_{n * 7}.jpg" for n in range(400)]
    (folder / "ImageList").mkdir(parents=True)
    (folder / "ImageList" / "Imagelist.txt").write_text("".join(f"{line} \r\n" for line in listed))
    truth = folder / "Groundtruth" / "AllLabels"
    truth.mkdir(parents=True)
    named = {}
    for place in range(24):
        rows = [n for n in range(400) if n < 380 and (n * 13 + place * 5) % 23 == 0][
            : 14 if place < 21 else 2
        ]
        (truth / f"Labels_c{place:02d}.txt").write_text("".join(f"{int(n in rows)}\n" for n in range(400)))
        named[f"c{place:02d}"] = rows
    for n, line in enumerate(listed):
        if n % 10:
            name = line.replace("\\", "/")
            image(folder / ("images" if flat else "Flickr"), name.split("/")[1] if flat else name, n)
    return listed, named


def nus_rows(pictures: list[published.Picture]) -> set[int]:
    return {int(p.entry.path.rpartition("/")[2].split("_")[0]) for p in pictures}


def nus(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Split:
    monkeypatch.setattr(published, "NUS_QUERIES", 2)
    monkeypatch.setattr(published, "NUS_TRAINING", 3)
    return load_nus_wide_21(folder, None, None)


def test_nus_wide_in_its_official_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, named = write_nus_wide(tmp_path)
    split = nus(tmp_path, monkeypatch)
    frequent = {name: rows for name, rows in named.items() if len(rows) > 2}
    assert len(frequent) == 21
    wanted = {n for rows in frequent.values() for n in rows}
    alive = {n for n in wanted if n % 10}
    assert nus_rows(split.queries) | nus_rows(split.database) == alive
    assert not nus_rows(split.queries) & nus_rows(split.database)
    assert split.notes[0].startswith(
        f"{len(wanted - alive)} labelled pictures of the list are not there (dead links)"
    )
    for picture in [*split.queries, *split.database]:
        (n,) = nus_rows([picture])
        assert set(picture.labels) == {name for name, rows in frequent.items() if n in rows}
    assert len(split.queries) == 42, "two for each of the 21 classes"
    assert split.training is not None and nus_rows(split.training) <= nus_rows(split.database)
    for name in frequent:
        assert sum(name in picture.labels for picture in split.queries) >= 2


def test_nus_wide_flat_gives_the_same_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_nus_wide(tmp_path / "deep")
    write_nus_wide(tmp_path / "flat" / "nus", flat=True)
    deep, flat = (nus(tmp_path / name, monkeypatch) for name in ("deep", "flat"))
    assert nus_rows(deep.queries) == nus_rows(flat.queries)
    assert nus_rows(deep.training or []) == nus_rows(flat.training or [])


def test_nus_wide_with_something_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_nus_wide(tmp_path)
    labels = tmp_path / "Groundtruth" / "AllLabels" / "Labels_c03.txt"
    labels.write_text("1\n0\n")
    with pytest.raises(SourceError, match=r"Labels_c03\.txt has 2 lines, the image list 400"):
        nus(tmp_path, monkeypatch)
    for path in (tmp_path / "Groundtruth" / "AllLabels").glob("Labels_c1*.txt"):
        path.unlink()
    labels.unlink()
    with pytest.raises(SourceError, match=r"holds 13 files Labels_\*\.txt, 21 are needed"):
        nus(tmp_path, monkeypatch)
    (tmp_path / "ImageList" / "Imagelist.txt").unlink()
    with pytest.raises(SourceError, match=r"there is no ImageList/Imagelist\.txt in .*: get the image list"):
        nus(tmp_path, monkeypatch)


def test_every_protocol_says_what_is_not_there(tmp_path: Path) -> None:
    for name, rule in PROTOCOLS.items():
        with pytest.raises((SourceError, ConfigError)) as caught:
            rule.load(tmp_path / "nothing here", None, None)
        assert "nothing" in str(caught.value), name
    with pytest.raises(SourceError):
        load_labelled(tmp_path / "nothing", None, None)

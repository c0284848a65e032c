"""The collections of the field, in the layouts their authors publish: CIFAR-10, MIRFLICKR-25K, NUS-WIDE.

The papers' own splits of the last two are random and differ from code to code. Ours follow a hash of each picture's
name, so that everybody gets the same; the counts are the papers'.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from sightbook.errors import ConfigError, SourceError
from sightbook.evaluate.parts import TEST, find_parts
from sightbook.evaluate.split import (
    Heard,
    LabelledPicture,
    Split,
    by_chance,
    each_class,
    empty_classes,
    in_key_order,
    labelled_only,
    with_folders_as_labels,
    with_own_labels,
)
from sightbook.images.entry import Entry
from sightbook.images.sources import open_source
from sightbook.words import counted, verb

_CIFAR10 = (
    "get CIFAR-10 as train.parquet and test.parquet (published as uoft-cs/cifar10), or its binary version "
    "(cifar-10-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html), and give the folder it is unpacked in"
)
_FLICKR = (
    "get mirflickr25k.zip and mirflickr25k_annotations_v080.zip from https://press.liacs.nl/mirflickr/, and unpack "
    "both, each in a folder of its own, in the folder that you give"
)
_NUS_WIDE = (
    "get the image list, the ground truth and the images of NUS-WIDE (published by the Lab for Media Search, National "
    "University of Singapore), and unpack them as ImageList, Groundtruth and Flickr in the folder that you give"
)
FLICKR_CLASSES, FLICKR_QUERIES, FLICKR_TRAINING = 24, 2000, 5000
NUS_CLASSES, NUS_QUERIES, NUS_TRAINING = 21, 100, 500  # the last two for each class
CIFAR_TRAINING = 500  # for each class


def load_cifar10(data: Path, labels: Path | None, junk: str | None, column: str | None = None) -> Split:
    """CIFAR-10: the official test part are the queries, the training part the database; class = class."""
    _own_labels_only("CIFAR-10", labels, junk, column)
    if not data.exists():
        raise SourceError(f"there is nothing at {data}: check the path, or {_CIFAR10}")
    parts = find_parts(data)
    if parts is None or TEST not in parts:
        if any((base / "data_batch_1").exists() for base in (data, data / "cifar-10-batches-py")):
            raise ConfigError(
                f"{data} holds the Python version of CIFAR-10, which is pickled, and pickles can run programs: "
                f"{_CIFAR10}"
            )
        raise ConfigError(f"{data} holds no train and test parts: {_CIFAR10}")
    heard = Heard()
    database, queries = (with_own_labels(part, heard) for part in parts.values())
    if not any(picture.labels for picture in (*database, *queries)):
        database, queries = with_folders_as_labels(database), with_folders_as_labels(queries)
    return labelled_only(queries, database, (), heard)


def load_cifar10_ii(data: Path, labels: Path | None, junk: str | None, column: str | None = None) -> Split:
    """As above, but only 500 pictures of each class may be learned from."""
    split = load_cifar10(data, labels, junk, column)
    classes = sorted({name for picture in split.database for name in picture.labels})
    training = each_class(by_chance(split.database), classes, CIFAR_TRAINING)
    return replace(split, training=in_key_order(training))


def load_flickr25k(data: Path, labels: Path | None, junk: str | None, column: str | None = None) -> Split:
    """MIRFLICKR-25K: 2,000 queries, the rest is the database, of which 5,000 may be learned from; 24 labels."""
    _own_labels_only("MIRFLICKR-25K", labels, junk, column)
    annotations = _folder_with(data, "animals.txt", _FLICKR)
    if not (annotations / "sky.txt").exists():
        raise SourceError(f"{annotations} is not complete (sky.txt is missing): {_FLICKR}")
    images = _folder_with(data, "im1.jpg", _FLICKR)
    named: dict[int, list[str]] = {}
    files = [
        path
        for path in sorted(annotations.glob("*.txt"))
        if not path.stem.endswith("_r1") and path.stem.lower() != "readme"
    ]
    for path in files:
        for number in _numbers(path):
            named.setdefault(number, []).append(path.stem)
    pictures = []
    heard = Heard()
    for entry in _entries(images, heard):
        stem, _, _ = entry.path.rpartition("/")[2].removeprefix("im").rpartition(".")
        if stem.isdecimal():
            pictures.append(LabelledPicture(entry, tuple(named.pop(int(stem), []))))
    notes = (
        []
        if not named
        else [
            f"{counted(len(named), 'annotated picture')} {verb(len(named), 'are')} not in {images.name}: left out"
        ]
    )
    if len(files) != FLICKR_CLASSES:
        notes.append(f"{counted(len(files), 'label')} instead of {FLICKR_CLASSES}")
    chance = by_chance(pictures)
    asked = {picture.entry.key for picture in [each for each in chance if each.labels][:FLICKR_QUERIES]}
    rest = [picture for picture in chance if picture.entry.key not in asked]
    return _split(pictures, asked, rest[:FLICKR_TRAINING], notes, heard)


def load_nus_wide_21(data: Path, labels: Path | None, junk: str | None, column: str | None = None) -> Split:
    """NUS-WIDE with its 21 most frequent labels: 100 queries a class, the rest of the pictures that have one of these
    labels is the database, of which 500 a class may be learned from."""
    _own_labels_only("NUS-WIDE", labels, junk, column)
    listed = _lines(
        _file(data, ("ImageList/Imagelist.txt", "ImageList/ImageList.txt", "Imagelist.txt"), _NUS_WIDE)
    )
    truth = _file(data, ("Groundtruth/AllLabels", "AllLabels", "Groundtruth"), _NUS_WIDE)
    counts: dict[str, list[int]] = {}
    for path in sorted(truth.glob("Labels_*.txt")):
        said = _lines(path)
        if len(said) != len(listed):
            raise SourceError(f"{path} has {len(said)} lines, the image list {len(listed)}: {_NUS_WIDE}")
        counts[path.stem.removeprefix("Labels_")] = [i for i, line in enumerate(said) if line == "1"]
    if len(counts) < NUS_CLASSES:
        raise SourceError(
            f"{truth} holds {counted(len(counts), 'file')} Labels_*.txt, 21 are needed: {_NUS_WIDE}"
        )
    classes = sorted(sorted(counts, key=lambda name: (-len(counts[name]), name))[:NUS_CLASSES])
    named: dict[int, list[str]] = {}
    for name in classes:
        for row in counts[name]:
            named.setdefault(row, []).append(name)
    images = _file(data, ("Flickr", "images", "Images", "image"), _NUS_WIDE)
    heard = Heard()
    by_path = {entry.path.lower(): entry for entry in _entries(images, heard)}
    by_name = Counter(path.rpartition("/")[2] for path in by_path)
    flat = {path.rpartition("/")[2]: entry for path, entry in by_path.items()}
    pictures, dead = [], 0
    for row in sorted(named):
        place = listed[row].replace("\\", "/").lower()
        name = place.rpartition("/")[2]
        entry = by_path.get(place) or (flat.get(name) if by_name[name] == 1 else None)
        if entry is None:
            dead += 1
        else:
            pictures.append(LabelledPicture(entry, tuple(named[row])))
    if not pictures:
        raise SourceError(f"none of {counted(len(named), 'labelled picture')} is in {images}: {_NUS_WIDE}")
    notes = (
        [
            f"{counted(dead, 'labelled picture')} of the list {verb(dead, 'are')} not there (dead links): left out"
        ]
        if dead
        else []
    )
    chance = by_chance(pictures)
    asked = {picture.entry.key for picture in each_class(chance, classes, NUS_QUERIES)}
    rest = [picture for picture in chance if picture.entry.key not in asked]
    return _split(pictures, asked, each_class(rest, classes, NUS_TRAINING), notes, heard)


def _split(
    pictures: list[LabelledPicture],
    asked: set[tuple[str, str]],
    training: list[LabelledPicture],
    notes: list[str],
    heard: Heard,
) -> Split:
    """A database with pictures that have none of the labels keeps them: they are right answers to no query."""
    queries = in_key_order(each for each in pictures if each.entry.key in asked)
    database = in_key_order(each for each in pictures if each.entry.key not in asked)
    if not queries or not database:
        few, left = (
            f"{counted(len(pictures), 'picture')} {verb(len(pictures), 'are')}",
            "database" if queries else "query",
        )
        raise ConfigError(f"{few} too few: no {left} is left")
    bare = sum(not each.labels for each in database)
    if bare:
        some = f"{counted(bare, 'picture')} of the database {verb(bare, 'have')}"
        notes = [*notes, f"{some} none of the labels: right answers to no query"]
    notes = [*notes, *empty_classes(queries, database)]
    left_out = tuple(heard.left_out.groups)
    return Split(queries, database, 0, tuple(notes), in_key_order(training), left_out)


def _own_labels_only(name: str, labels: Path | None, junk: str | None, column: str | None) -> None:
    if labels is not None or junk is not None or column is not None:
        raise ConfigError(
            f"{name} brings its own labels: leave the labels file and the junk rule out, and the column"
        )


def _folder_with(data: Path, name: str, hint: str) -> Path:
    """The folder that holds a file of this name: `data`, or one up to two levels below."""
    for pattern in (name, f"*/{name}", f"*/*/{name}"):
        found = sorted(data.glob(pattern))
        if found:
            return found[0].parent
    raise SourceError(f"there is no {name} in {data}: {hint}")


def _file(data: Path, candidates: tuple[str, ...], hint: str) -> Path:
    """The first of these paths below `data`, or below a folder in it."""
    for base in (data, *sorted(path for path in data.glob("*") if path.is_dir())):
        for name in candidates:
            if (base / name).exists():
                return base / name
    raise SourceError(f"there is no {candidates[0]} in {data}: {hint}")


def _entries(folder: Path, heard: Heard) -> Iterator[Entry]:
    for source in open_source(folder):
        yield from source.entries()
        heard.source(source)


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} cannot be read ({error}): unpack it again") from None


def _numbers(path: Path) -> list[int]:
    try:
        return [int(line) for line in _lines(path)]
    except ValueError:
        raise SourceError(f"{path} holds a line that is no picture's number: unpack it again") from None

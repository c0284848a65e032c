"""Protocols: which pictures are queries, which the database, what is relevant, and where the ranking is cut.

A loader turns a path into a `Split` of labelled pictures. A new protocol is one loader and one line of `PROTOCOLS`.
Labels are read here and nowhere else in the program.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sightbook.errors import ConfigError, SourceError
from sightbook.evaluate.labels import Row, match, read_labels
from sightbook.evaluate.parts import PART_NAMES, find_parts
from sightbook.images.sources import Entry, open_source

EVERY = 10  # each so many-th picture is a query where a source has no test part


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture with what people say of it: its classes (none: unlabelled) and the other columns of the CSV."""

    entry: Entry
    labels: tuple[str, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Split:
    """Queries and database, both in stable key order. `notes` are sentences the reader of a figure must know.

    `training`: the pictures that a model may learn from, where they are not all those of the database.
    """

    queries: list[Picture]
    database: list[Picture]
    unlabelled: int = 0
    notes: tuple[str, ...] = ()
    training: list[Picture] | None = None

    def training_part(self) -> tuple[list[str], frozenset[tuple[str, str]]]:
        """(sources, keys of the pictures in them) to train on: what `sightbook.train` takes. No labels go along."""
        pictures = self.database if self.training is None else self.training
        roots = dict.fromkeys(each.entry.origin.root for each in pictures if each.entry.origin is not None)
        return list(roots), frozenset(each.entry.key for each in pictures)


Loader = Callable[[Path, Path | None, str | None], Split]


@dataclass(frozen=True)
class Protocol:
    """A named way to judge. `sizes` are the counts of queries and database where others fixed them; pictures in both
    parts are then counted and told, and refused elsewhere. `training`: pictures a model may have learned from."""

    name: str
    R: int
    load: Loader
    sizes: tuple[int, int] | None = None
    training: int | None = None

    @property
    def official(self) -> bool:
        """Whether the split was made by others, and is to be taken as it is."""
        return self.sizes is not None


def protocol(name: str) -> Protocol:
    """The protocol of that name; ConfigError lists the names."""
    try:
        return PROTOCOLS[name]
    except KeyError:
        raise ConfigError(f"unknown protocol {name!r}: use one of {', '.join(PROTOCOLS)}") from None


def load_cifar10(data: Path, labels: Path | None, junk: str | None) -> Split:
    """CIFAR-10: the official test part are the queries, the training part the database; class = class."""
    if labels is not None or junk is not None:
        raise ConfigError("CIFAR-10 brings its own labels: leave the labels file and the junk rule out")
    if not data.exists():
        raise SourceError(f"there is nothing at {data}: check the path")
    parts = find_parts(data)
    if parts is None:
        raise ConfigError(
            f"{data} holds no train and test parts: give the folder with train.parquet and test.parquet "
            "(CIFAR-10 in the Hugging Face layout, published as uoft-cs/cifar10)"
        )
    database, queries = (_with_own_labels(part) for part in parts)
    return _labelled_only(queries, database, ())


def load_labelled(data: Path, labels: Path | None, junk: str | None) -> Split:
    """Any labelled pictures: a source with labels, class folders, or a source and a labels CSV.

    Queries are the `test` part where there is one beside a `train` part, else each tenth labelled picture in key order,
    beginning with the first.
    """
    if junk is not None and labels is None:
        raise ConfigError("the junk rule needs a labels file with that column: give one")
    parts = find_parts(data) or (str(data),)
    notes: list[str] = []
    if labels is None:
        rooms = [_with_own_labels(part) for part in parts]
        if not any(picture.labels for room in rooms for picture in room):
            rooms = [_with_folders_as_labels(room) for room in rooms]
            classes = {picture.labels for room in rooms for picture in room} - {()}
            if not classes:
                raise ConfigError(
                    f"the pictures of {data} have no labels: give a CSV file with the columns file,label"
                )
            notes.append(f"labels are the names of the {len(classes)} folders the pictures lie in")
    else:
        rooms = _with_csv([_with_own_labels(part) for part in parts], labels, junk, notes)
    if len(rooms) == 2:
        return _labelled_only(rooms[1], rooms[0], notes)
    known = [picture for picture in rooms[0] if picture.labels]
    queries = known[::EVERY]
    database = [picture for i, picture in enumerate(known) if i % EVERY]
    return _labelled_only(queries, database, notes, len(rooms[0]) - len(known))


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("cifar10-I", 1000, load_cifar10, (10_000, 50_000)),
        # Differs from I in what the model may be trained on: 5,000 pictures of the database, 500 a class.
        Protocol("cifar10-II", 1000, load_cifar10, (10_000, 50_000), training=5_000),
        Protocol("labelled", 100, load_labelled),
    )
}


def _labelled_only(
    queries: Sequence[Picture], database: Sequence[Picture], notes: Sequence[str], unlabelled: int = 0
) -> Split:
    """Leaves out the pictures without a label: whether they are right answers is not known."""
    kept = [[picture for picture in part if picture.labels] for part in (queries, database)]
    unlabelled += len(queries) + len(database) - len(kept[0]) - len(kept[1])
    for part, name in zip(kept, ("query", "database picture"), strict=True):
        if not part:
            raise ConfigError(
                f"there is no labelled {name}: at least two labelled pictures are needed, better hundreds"
            )
    notes = [*notes, *_empty_classes(*kept)]
    if unlabelled:
        notes.append(f"{unlabelled} pictures without a label were left out of queries and database")
    return Split(kept[0], kept[1], unlabelled, tuple(notes))


def _empty_classes(queries: Sequence[Picture], database: Sequence[Picture]) -> list[str]:
    asked, stored = (Counter(name for p in part for name in p.labels) for part in (queries, database))
    notes = []
    for missing, what in (
        (asked.keys() - stored.keys(), "database picture"),
        (stored.keys() - asked.keys(), "query"),
    ):
        if missing:
            names = sorted(missing)
            shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
            notes.append(f"{len(names)} classes have no {what}: {shown}")
    return notes


def _with_own_labels(spec: str) -> list[Picture]:
    """The pictures of a source with the labels it carries, by name where the source tells the names."""
    pictures = []
    for source in open_source(spec):
        names = source.label_names
        for entry in source.entries():
            label = entry.label
            if names and isinstance(label, int):
                # Hugging Face writes -1 for "not labelled".
                text = names[label] if 0 <= label < len(names) else None
            else:
                text = None if label is None else str(label)
            pictures.append(Picture(entry, () if text is None else (text,)))
    return pictures


def _with_folders_as_labels(pictures: Sequence[Picture]) -> list[Picture]:
    """Class folders: the first folder on a picture's path is its class."""
    return [
        Picture(p.entry, (p.entry.path.partition("/")[0],) if "/" in p.entry.path else (), p.metadata)
        for p in pictures
    ]


def _with_csv(
    rooms: list[list[Picture]], labels: Path, junk: str | None, notes: list[str]
) -> list[list[Picture]]:
    rows = read_labels(labels, junk)
    names = []
    for room, part in zip(rooms, PART_NAMES if len(rooms) == 2 else ("",), strict=True):
        for picture in room:
            path = picture.entry.path
            names.append((f"{part}/{path}", path) if part else (path,))
    found, absent = match(rows, names, labels)
    if len(absent) == len(rows):
        raise ConfigError(
            f"none of the {len(rows)} files in {labels} is among the pictures (which have names like "
            f"{names[0][0]!r}, the list {absent[0]!r}): give the folder the list was written for"
        )
    if absent:
        notes.append(
            f"{len(absent)} files in {labels.name} are not among the pictures, such as {absent[0]!r}"
        )
    row_of = iter(found)
    return [[_described(picture, next(row_of)) for picture in room] for room in rooms]


def _described(picture: Picture, row: Row | None) -> Picture:
    return Picture(picture.entry, row.labels, row.metadata) if row else Picture(picture.entry, ())

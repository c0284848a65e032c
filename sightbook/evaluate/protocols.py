"""Protocols: which pictures are queries, which the database, what is relevant, and where the ranking is cut.

A loader turns a path into a `Split` of labelled pictures. A new protocol is one loader and one line of `PROTOCOLS`.
Labels are read here and nowhere else in the program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sightbook.errors import ConfigError
from sightbook.evaluate.labels import Row, match, read_labels, within
from sightbook.evaluate.parts import TEST, find_parts
from sightbook.evaluate.published import load_cifar10, load_cifar10_ii, load_flickr25k, load_nus_wide_21
from sightbook.evaluate.split import (
    Heard,
    LabelledPicture,
    Split,
    labelled_only,
    with_folders_as_labels,
    with_own_labels,
)
from sightbook.words import counted, verb

EVERY = 10  # each so many-th picture is a query where a source has no test part
# Folders that are no classes. Those of `find_parts` have been found by then.
_PARTS = {"train", "training", "test", "testing", "val", "valid", "validation", "dev"}


# (data, labels, junk column, label column, which may be left out) → Split.
Loader = Callable[..., Split]


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


def load_labelled(data: Path, labels: Path | None, junk: str | None, column: str | None = None) -> Split:
    """Any labelled pictures: a source with labels, class folders, or a source and a labels CSV. column: where the
    labels are, in the source or the CSV.

    Queries are the `test` part where there is one beside a `train` part, or the `val` part where there is no `test`,
    else each tenth labelled picture in key order, beginning with the first.
    """
    if junk is not None and labels is None:
        raise ConfigError("the junk rule needs a labels file with that column: give one")
    found = find_parts(data) or {"": str(data)}
    notes: list[str] = []
    heard = Heard()
    rooms = [with_own_labels(part, heard, column if labels is None else None) for part in found.values()]
    if labels is not None:
        rows = read_labels(labels, junk, column)
        rooms = _with_csv(
            dict(zip(found, rooms, strict=True)), rows, labels, notes, [data, *map(Path, found.values())]
        )
        heard.notes.clear()
    elif not any(picture.labels for room in rooms for picture in room):
        if column is None:
            rooms = [with_folders_as_labels(room) for room in rooms]
        classes = {picture.labels for room in rooms for picture in room} - {()}
        if not classes:
            raise ConfigError(_no_labels(data, heard.columns, column))
        names = sorted({name for some in classes for name in some})
        if {name.lower() for name in names} <= _PARTS:
            raise ConfigError(
                f"the folders of {data} ({', '.join(names)}) are parts of a collection, not classes: call them train "
                "and test, each with a folder for each class, or give a CSV file with the columns file,label"
            )
        notes.append(f"labels are the names of the {counted(len(classes), 'folder')} the pictures lie in")
    if len(rooms) == 2:
        asking = list(found)[1]
        if asking != TEST:
            notes.append(f"there is no part called {TEST}: the queries are those of {asking}")
        return labelled_only(rooms[1], rooms[0], notes, heard)
    known = [picture for picture in rooms[0] if picture.labels]
    queries = known[::EVERY]
    database = [picture for i, picture in enumerate(known) if i % EVERY]
    return labelled_only(
        queries, database, notes, heard, [picture for picture in rooms[0] if not picture.labels]
    )


def _no_labels(data: Path, columns: Sequence[str], asked: str | None) -> str:
    if asked is not None:
        return f"the column {asked!r} of {data} holds no label: choose among {', '.join(columns)}"
    if columns:
        return (
            f"the pictures of {data} have no labels in a column label or labels: choose one of {', '.join(columns)} by "
            "--label-column, or give a CSV file with the columns file,label"
        )
    return f"the pictures of {data} have no labels: give a CSV file with the columns file,label"


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("cifar10-I", 1000, load_cifar10, (10_000, 50_000)),
        # Differs from I in what the model may be trained on: 5,000 pictures of the database, 500 a class.
        Protocol("cifar10-II", 1000, load_cifar10_ii, (10_000, 50_000), training=5_000),
        Protocol("flickr25k", 5000, load_flickr25k, (2_000, 23_000), training=5_000),
        Protocol("nus-wide-21", 5000, load_nus_wide_21, (2_100, 193_734), training=10_500),
        Protocol("labelled", 100, load_labelled),
    )
}


def _with_csv(
    rooms: dict[str, list[LabelledPicture]],
    rows: list[Row],
    labels: Path,
    notes: list[str],
    places: Sequence[Path],
) -> list[list[LabelledPicture]]:
    """The pictures of each part, by its name, with what the rows say."""
    names = []
    for part, room in rooms.items():
        for picture in room:
            path = picture.entry.path
            names.append((f"{part}/{path}", path) if part else (path,))
    found, absent = match(within(rows, names, places), names, labels)
    if len(absent) == len(rows):
        raise ConfigError(
            f"none of {counted(len(rows), 'file')} in {labels} is among the pictures (which have names like "
            f"{names[0][0]!r}, the list {absent[0]!r}): give the folder the list was written for"
        )
    if absent:
        files = f"{counted(len(absent), 'file')} in {labels.name} {verb(len(absent), 'are')}"
        notes.append(f"{files} not among the pictures, such as {absent[0]!r}")
    row_of = iter(found)
    return [[_described(picture, next(row_of)) for picture in room] for room in rooms.values()]


def _described(picture: LabelledPicture, row: Row | None) -> LabelledPicture:
    return (
        LabelledPicture(picture.entry, row.labels, row.metadata)
        if row
        else LabelledPicture(picture.entry, ())
    )

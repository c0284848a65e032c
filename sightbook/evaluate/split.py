"""Labelled pictures, dealt into queries, database and what may be learned from: what a loader of a protocol gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from sightbook.errors import ConfigError
from sightbook.images.entry import Entry
from sightbook.images.sources import open_source

VALIDATION = 10  # one picture in so many asks in a validation cut


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

    def validation(self) -> Split:
        """A cut of the pictures that may be learned from, in place of the queries and the database: each tenth labelled
        one in a fixed random order asks, the others are the database. For choosing, before any query is scored."""
        pictures = self.database if self.training is None else self.training
        labelled = by_chance(each for each in pictures if each.labels)
        if len(labelled) < 2:
            raise ConfigError(
                f"{len(labelled)} labelled training pictures cannot be cut in two: label some more"
            )
        return labelled_only(
            in_key_order(labelled[::VALIDATION]),
            in_key_order(each for i, each in enumerate(labelled) if i % VALIDATION),
            ["a validation cut of the training pictures: no query of the protocol was scored"],
            len(pictures) - len(labelled),
        )


def by_chance(pictures: Iterable[Picture]) -> list[Picture]:
    """A fixed random order: that of a hash of the picture's own name, which is the same wherever it lies."""

    def drawn(picture: Picture) -> bytes:
        name = picture.entry.path.rpartition("/")[2].lower()
        return blake2b(name.encode("utf-8", "surrogatepass")).digest()

    return sorted(pictures, key=drawn)


def each_class(pictures: Sequence[Picture], classes: Iterable[str], count: int) -> list[Picture]:
    """Up to `count` pictures of each class, in the order of `pictures`, none twice."""
    taken: dict[int, None] = {}
    for name in classes:
        having = (i for i, each in enumerate(pictures) if name in each.labels and i not in taken)
        for _, i in zip(range(count), having, strict=False):
            taken[i] = None
    return [pictures[i] for i in taken]


def in_key_order(pictures: Iterable[Picture]) -> list[Picture]:
    """Sorted by key."""
    return sorted(pictures, key=lambda each: each.entry.key)


def with_own_labels(spec: str) -> list[Picture]:
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


def with_folders_as_labels(pictures: Sequence[Picture]) -> list[Picture]:
    """Class folders: the first folder on a picture's path is its class."""
    return [
        Picture(p.entry, (p.entry.path.partition("/")[0],) if "/" in p.entry.path else (), p.metadata)
        for p in pictures
    ]


def labelled_only(
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
    notes = [*notes, *empty_classes(*kept)]
    if unlabelled:
        notes.append(f"{unlabelled} pictures without a label were left out of queries and database")
    return Split(kept[0], kept[1], unlabelled, tuple(notes))


def empty_classes(queries: Sequence[Picture], database: Sequence[Picture]) -> list[str]:
    """Sentences about classes that one of the two parts does not have."""
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

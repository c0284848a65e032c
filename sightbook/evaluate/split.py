"""Labelled pictures, dealt into queries, database and what may be learned from: what a loader of a protocol gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from unicodedata import normalize

from sightbook.errors import ConfigError
from sightbook.images.entry import Entry
from sightbook.images.label import parts
from sightbook.images.left_out import Group, LeftOut
from sightbook.images.sources import Source, open_sources
from sightbook.words import counted, verb

VALIDATION = 10  # one picture in so many asks in a validation cut
_NAMED = 3  # of pictures without a label, in the note; the report has more


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """A picture with what people say of it: its classes (none: unlabelled) and the other columns of the CSV."""

    entry: Entry
    labels: tuple[str, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Split:
    """Queries and database, both in stable key order. `notes` are sentences the reader of a figure must know.

    `training`: the pictures that a model may learn from, where they are not all those of the database. `left_out`: what
    the data hold and is not taken, pictures without a label among it.
    """

    queries: list[LabelledPicture]
    database: list[LabelledPicture]
    unlabelled: int = 0
    notes: tuple[str, ...] = ()
    training: list[LabelledPicture] | None = None
    left_out: tuple[Group, ...] = ()

    def training_part(self) -> tuple[list[str], frozenset[tuple[str, str]]]:
        """(sources, keys of the pictures in them) to train on: what `sightbook.train` takes. No labels go along."""
        pictures = self.database if self.training is None else self.training
        roots = dict.fromkeys(each.entry.origin.root for each in pictures if each.entry.origin is not None)
        return list(roots), frozenset(each.entry.key for each in pictures)

    def validation(self) -> Split:
        """A cut of the pictures that may be learned from, in place of the queries and the database: each tenth labelled
        one in a fixed random order asks, the others are the database. For choosing, before any query is scored."""
        pictures = self.database if self.training is None else self.training
        bare = [each for each in pictures if not each.labels]
        labelled = by_chance(each for each in pictures if each.labels)
        if len(labelled) < 2:
            raise ConfigError(
                f"{counted(len(labelled), 'labelled training picture')} cannot be cut in two: label some more"
            )
        return labelled_only(
            in_key_order(labelled[::VALIDATION]),
            in_key_order(each for i, each in enumerate(labelled) if i % VALIDATION),
            ["a validation cut of the training pictures: no query of the protocol was scored"],
            Heard(left_out=LeftOut(group for group in self.left_out if group.reason != "label")),
            bare,
        )


def by_chance(pictures: Iterable[LabelledPicture]) -> list[LabelledPicture]:
    """A fixed random order: that of a hash of the picture's own name, which is the same wherever it lies. Pictures of
    one name, as numbered ones in class folders, follow a hash of their path: else each tenth could be of one class."""

    def drawn(picture: LabelledPicture) -> tuple[bytes, bytes]:
        path = picture.entry.path.lower()
        return _hash(path.rpartition("/")[2]), _hash(path)

    return sorted(pictures, key=drawn)


def _hash(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass")).digest()


def each_class(
    pictures: Sequence[LabelledPicture], classes: Iterable[str], count: int
) -> list[LabelledPicture]:
    """Up to `count` pictures of each class, in the order of `pictures`, none twice."""
    taken: dict[int, None] = {}
    for name in classes:
        having = (i for i, each in enumerate(pictures) if name in each.labels and i not in taken)
        for _, i in zip(range(count), having, strict=False):
            taken[i] = None
    return [pictures[i] for i in taken]


def in_key_order(pictures: Iterable[LabelledPicture]) -> list[LabelledPicture]:
    """Sorted by key."""
    return sorted(pictures, key=lambda each: each.entry.key)


@dataclass
class Heard:
    """What reading labels tells beside them. columns: those that a source has and that may hold labels."""

    notes: list[str] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)
    columns: list[str] = field(default_factory=list)

    def source(self, source: Source) -> None:
        """What one source tells, after a walk through it."""
        self.notes += source.labels.notes
        self.columns += [name for name in source.labels.columns if name not in self.columns]
        for group in source.left_out.groups:
            self.left_out.merge(group)


def with_own_labels(spec: str, heard: Heard, column: str | None = None) -> list[LabelledPicture]:
    """The pictures of a source with the labels it carries, by name where the source tells the names. column: where the
    labels are. ConfigError when no source has that column."""
    pictures = []
    sources = open_sources([spec], label_column=column)
    for source in sources:
        names = source.labels.names
        for entry in source.entries():
            found = parts(entry.label)
            if names:  # a number that has no name is no label, -1 among them
                named = dict(enumerate(names))
                found = tuple(named.get(each, "") if isinstance(each, int) else each for each in found)
            pictures.append(
                LabelledPicture(entry, tuple(sorted({str(each) for each in found if each != ""})))
            )
        heard.source(source)
    for group in sources.aside.groups:
        heard.left_out.merge(group)
    if column is not None and column not in heard.columns:
        has = (
            f"those that can are {', '.join(heard.columns)}" if heard.columns else "it has none, leave it out"
        )
        raise ConfigError(f"{spec} has no column {column!r} that can hold labels: {has}")
    return pictures


def with_folders_as_labels(pictures: Sequence[LabelledPicture]) -> list[LabelledPicture]:
    """Class folders: the first folder on a picture's path is its class."""
    return [
        LabelledPicture(
            p.entry,
            (normalize("NFC", p.entry.path.partition("/")[0]),) if "/" in p.entry.path else (),
            p.metadata,
        )
        for p in pictures
    ]


def labelled_only(
    queries: Sequence[LabelledPicture],
    database: Sequence[LabelledPicture],
    notes: Sequence[str],
    heard: Heard,
    bare: Sequence[LabelledPicture] = (),
) -> Split:
    """Leaves out the pictures without a label, `bare` and others: whether they are right answers is not known."""
    kept = [[picture for picture in part if picture.labels] for part in (queries, database)]
    bare = [*bare, *(picture for part in (queries, database) for picture in part if not picture.labels)]
    for part, name in zip(kept, ("query", "database picture"), strict=True):
        if not part:
            raise ConfigError(
                f"there is no labelled {name}: at least two labelled pictures are needed, better hundreds"
            )
    notes = [*notes, *heard.notes, *empty_classes(*kept)]
    first, *others = (picture.labels for part in kept for picture in part)
    common = set(first).intersection(*others)
    if common:
        notes.append(f"every picture has the label {min(common)}: any order of the answers is right")
    left_out = LeftOut(heard.left_out.groups)
    for picture in bare:
        left_out.add("label", "", picture.entry.locator)
    if bare:
        some = ", ".join(picture.entry.locator for picture in bare[:_NAMED]) + (
            " …" if len(bare) > _NAMED else ""
        )
        notes.append(
            f"{counted(len(bare), 'picture')} without a label (empty, -1, null or not a number) "
            f"{verb(len(bare), 'were')} left out of queries and database: {some}"
        )
    return Split(kept[0], kept[1], len(bare), tuple(notes), None, tuple(left_out.groups))


def empty_classes(queries: Sequence[LabelledPicture], database: Sequence[LabelledPicture]) -> list[str]:
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
            notes.append(f"{counted(len(names), 'class')} {verb(len(names), 'have')} no {what}: {shown}")
    return notes

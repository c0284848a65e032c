"""A source, one root with pictures or vectors; and its kind, which says all that differs between kinds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from sightbook.images.entry import Entry, Origin
from sightbook.images.exclude import Excludes
from sightbook.images.left_out import Left, LeftOut, Reason
from sightbook.images.names import escape, to_native

if TYPE_CHECKING:
    from sightbook.images.kinds.rows import Rows


@dataclass
class Labels:
    """What a source tells of its labels, for evaluation. names: what the integer labels are called; columns: where
    labels may be, to choose from (of a tar file known after a walk); notes: sentences that a reader of the labels must
    know."""

    names: list[str] | None = None
    columns: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _labels(source: Source) -> Labels:
    return source.told


@dataclass(frozen=True)
class SourceKind:
    """One kind of source: the file in `kinds/` that makes it holds all that is to be known of it. Its functions stand
    at the top of a module, so that a kind reaches other processes by their names.

    name: in the catalogue; never to be changed.
    joint: what stands between the root and a picture's path where people read them.
    recognize: whether what lies at a path is of this kind, by its name.
    open: the source there; raises SourceError for what cannot be used, EmptySource where there is nothing to take.
    entries: each picture once, in a stable order, with its label; `left` hears of what is not taken. An entry's size
        and time decide whether it is as it was: its own, where it can change by itself. Raises SourceError when the
        root is gone or damaged.
    read: the bytes of an entry, of which `path` is sure, and `offset` and `size` are where it was listed just now; not
        many more than the limit. PictureError where this one cannot be read; an OSError is made one.
    head: the first bytes of one; None: `read` gives all of them.
    labels: what it tells of its labels beside those of its entries: names, columns, notes.
    suffixes: of its files, as they are proposed to people.
    files: each picture is a file of its own, at its path under the root: so it is one with the same file reached
        through another root.
    rows: of a kind of vectors, opens its file.
    either: a file of such a name may hold vectors as well.
    """

    name: str
    joint: str
    recognize: Callable[[Path], bool]
    open: Callable[[Path], Source]
    entries: Callable[[Source, Left], Iterator[Entry]]
    read: Callable[[Origin, Entry, int], bytes]
    head: Callable[[Origin, Entry, int], bytes] | None = None
    labels: Callable[[Source], Labels] = _labels
    suffixes: tuple[str, ...] = ()
    files: bool = False
    rows: Callable[[str], Rows] | None = None
    either: bool = False

    @property
    def of_vectors(self) -> bool:
        """Whether its entries are vectors and no pictures."""
        return self.rows is not None

    def locate(self, root: str, path: str) -> str:
        """A printable line that tells people where a picture is."""
        return escape(root.removesuffix(self.joint) + self.joint + path)

    def address(self, root: str, path: str) -> str:
        """The `file:` address of a picture's file, or of the archive that it is in."""
        file = Path(root, to_native(path)) if self.files else Path(root)
        return Path(os.path.abspath(file)).as_uri()  # noqa: PTH100  links stay


@dataclass
class Source:
    """One root with pictures, or with vectors. `id` with an entry's path is the picture's key; the root may move, the
    id stays.

    `names` (relative paths) restricts a folder to single pictures; None is the whole folder. `inside`, a path that ends
    with '/', restricts it to the folder there. `exclude` are globs of what is not taken, from the root (see
    exclude.py). `label_column` names where labels are; None: in one of the usual columns.
    After a walk `problems` holds one sentence for each sub-folder that could not be read, `left_out` what was not
    taken, by locators, and `unfit` the globs that fitted nothing.
    """

    id: str
    of_kind: SourceKind
    root: Path
    names: frozenset[str] | None = None
    inside: str = ""
    exclude: tuple[str, ...] = ()
    label_column: str | None = None
    problems: list[str] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)
    unfit: list[str] = field(default_factory=list)
    told: Labels = field(default_factory=Labels, repr=False)

    @classmethod
    def at(cls, kind: SourceKind, path: Path) -> Source:
        """The whole of what lies at a path, under the id that its root gets when none is known."""
        root = path.resolve()
        return cls(source_id(root), kind, root)

    @property
    def kind(self) -> str:
        """Its kind's name, as the catalogue keeps it."""
        return self.of_kind.name

    @cached_property
    def labels(self) -> Labels:
        """What it tells of its labels."""
        return self.of_kind.labels(self)

    def entries(self) -> Iterator[Entry]:
        """Each picture once, in a stable order: folders by code point of the relative POSIX path, tar files in the
        order of the archive, Parquet files and vectors by row. Raises SourceError when the root is gone or damaged."""
        root = str(self.root)
        excludes = Excludes(self.exclude)
        self.left_out.clear()

        def left(reason: Reason, what: str, path: str) -> None:
            if reason != "excluded" and (glob_ := excludes.fits(path)) is not None:
                reason, what = "excluded", glob_
            self.left_out.add(reason, what, self.of_kind.locate(root, path))

        found = self.of_kind.entries(self, left)
        yield from excludes.keep(found, left) if excludes else found
        self.unfit = excludes.unfit


def source_id(root: Path) -> str:
    """The id a root gets when none is known: 12 hex of BLAKE2b of the resolved path's bytes."""
    return blake2b(os.fsencode(root.resolve()), digest_size=6).hexdigest()

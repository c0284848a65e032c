"""Sources: folders, tar and Parquet files, CIFAR-10's batches, single pictures, files of vectors, globs of those, as
one stream."""

# Plain strings: a walk touches a hundred thousand paths, and Path objects would double its time.
# ruff: noqa: PTH110, PTH111, PTH116, PTH118

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Literal

from sightbook.errors import SourceError
from sightbook.images import vectors
from sightbook.images.empty import nothing_in, quoted, refuse_hollow
from sightbook.images.entry import EmptySource, Entry, Kind, Origin, locate, storable
from sightbook.images.exclude import Exclude, Excludes, of_root
from sightbook.images.find import PICTURE_SUFFIXES, Left, Walk, is_picture_name, suffix_of
from sightbook.images.kinds import cifar, parquet, tar
from sightbook.images.kinds.npy import is_npy
from sightbook.images.kinds.table import Table
from sightbook.images.left_out import Group, LeftOut, Reason
from sightbook.images.names import existing, shown, to_text
from sightbook.images.ours import is_ours
from sightbook.images.patterns import is_pattern, matches
from sightbook.words import counted

__all__ = ["Entry", "Source", "Sources", "open_source", "open_sources", "source_id"]

_Thing = Literal["folder", "tar", "parquet", "cifar", "vectors", "picture"]


@dataclass
class Source:
    """One root with pictures, or with vectors (of the kind `vectors`). `id` with an entry's path is the picture's key;
    the root may move, the id stays.

    `names` (relative paths) restricts a folder to single pictures; None is the whole folder. `inside`, a path that ends
    with '/', restricts it to the folder there. `exclude` are globs of what is not taken, from the root (see
    exclude.py). `label_column` names where labels are; None: in one of the usual columns.
    After a walk `problems` holds one sentence for each sub-folder that could not be read, `left_out` what was not
    taken, by locators, and `unfit` the globs that fitted nothing.
    """

    id: str
    kind: Kind
    root: Path
    names: frozenset[str] | None = None
    inside: str = ""
    exclude: tuple[str, ...] = ()
    label_column: str | None = None
    problems: list[str] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)
    unfit: list[str] = field(default_factory=list)
    _told: tar.Told = field(default_factory=tar.Told, repr=False)

    def entries(self) -> Iterator[Entry]:
        """Each picture once, in a stable order: folders by code point of the relative POSIX path, tar files in the
        order of the archive, Parquet files and vectors by row. Raises SourceError when the root is gone or damaged."""
        root = str(self.root)
        excludes = Excludes(self.exclude)
        self.left_out.clear()

        def left(reason: Reason, what: str, path: str) -> None:
            if reason != "excluded" and (glob_ := excludes.fits(path)) is not None:
                reason, what = "excluded", glob_
            self.left_out.add(reason, what, locate(self.kind, root, path))

        found = self._all(root, left)
        yield from excludes.kept(found, left) if excludes else found
        self.unfit = excludes.unfit

    def _all(self, root: str, left: Left) -> Iterator[Entry]:
        if self.kind == "tar":
            yield from tar.entries(self.id, root, left, self.label_column, self._told)
        elif self.kind == "parquet":
            yield from parquet.entries(self.id, root, self.label_column)
        elif self.kind == "cifar":
            yield from cifar.entries(self.id, root)
        elif self.kind == "vectors":
            yield from vectors.entries(self.id, root, self.label_column)
        elif self.names is not None:
            yield from self._named(root, self.names)
        else:
            from sightbook.images.names import to_native

            origin = Origin("folder", root)
            walk = Walk(
                os.path.join(root, to_native(self.inside)) if self.inside else root,
                lambda reason, what, path: left(reason, what, self.inside + path),
            )
            self.problems = walk.problems
            for found in walk:
                yield Entry(self.id, self.inside + found.path, found.size, found.mtime_ns, None, origin)

    def _named(self, root: str, names: frozenset[str]) -> Iterator[Entry]:
        from sightbook.images.names import to_native

        origin = Origin("folder", root)
        for name in sorted(names):
            try:
                status = os.stat(os.path.join(root, to_native(name)))
                yield Entry(self.id, name, status.st_size, storable(status.st_mtime_ns), None, origin)
            except OSError:  # reading it will say so, for this one picture
                yield Entry(self.id, name, 0, 0, None, origin)

    @cached_property
    def label_names(self) -> list[str] | None:
        """What the integer labels are called, where the source says so (Hugging Face Parquet); for evaluation."""
        if self.kind == "cifar":
            return cifar.label_names(str(self.root))
        return self._table.label_names if self._table is not None else None

    @property
    def label_columns(self) -> list[str]:
        """The columns (or, after a walk, the keys of the JSON files in a tar) that labels may be in, to choose from."""
        return self._told.columns if self._table is None else self._table.label_columns

    @property
    def label_notes(self) -> list[str]:
        """After a walk: sentences that a reader of the labels must know."""
        return self._told.notes

    @cached_property
    def _table(self) -> Table | None:
        root = str(self.root)
        if self.kind not in ("parquet", "vectors") or is_npy(root):
            return None
        return Table(Origin.now(self.kind, root), self.label_column)


@dataclass(frozen=True)
class Sources:
    """Several sources as one stream, in the order given; no source twice. aside: members of patterns that hold nothing,
    or are none."""

    sources: tuple[Source, ...]
    aside: LeftOut = field(default_factory=LeftOut)

    def entries(self) -> Iterator[Entry]:
        """The entries of each source in turn; a file that several folders reach comes once."""
        several = sum(source.kind == "folder" for source in self.sources) > 1
        seen: set[tuple[str, str]] = set()
        real: dict[str, str] = {}
        for source in self.sources:
            for entry in source.entries():
                if several and source.kind == "folder":
                    folder, _, name = os.path.join(source.root, entry.path).rpartition("/")
                    if folder not in real:
                        real[folder] = os.path.realpath(folder)
                    if (real[folder], name) in seen:
                        continue
                    seen.add((real[folder], name))
                yield entry

    def __iter__(self) -> Iterator[Source]:
        return iter(self.sources)

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def left_out(self) -> list[Group]:
        """What was not taken, after a walk through all of them."""
        groups = (group for source in self.sources for group in source.left_out.groups)
        return LeftOut([*groups, *self.aside.groups]).groups

    @property
    def label_names(self) -> list[str] | None:
        """The names of the labels when every source tells the same ones."""
        told = [source.label_names for source in self.sources]
        return told[0] if told and all(names == told[0] for names in told) else None


def open_source(spec: str | Path, *, id: str | None = None) -> list[Source]:
    """The sources that a path or glob names: one, or several for a glob.

    `id` replaces the default id (12 hex of BLAKE2b of the resolved root) and needs a spec that names one source.
    Raises SourceError: nothing there, no pictures in it, a kind of file that is not a source.
    """
    sources = _distinct(_sources(spec, LeftOut()))
    if id is not None:
        if len(sources) != 1:
            raise SourceError(
                f"{quoted(spec)} names {counted(len(sources), 'source')}, but one id was given: name one source."
            )
        sources[0].id = id
    return sources


def open_sources(
    specs: Sequence[str | Path],
    ids: Mapping[Path, str] | None = None,
    *,
    exclude: Exclude = (),
    may_be_empty: Collection[Path] = (),
    label_column: str | None = None,
) -> Sources:
    """All sources of `specs` as one stream. `ids` maps a resolved root to an id that is known for it already, because
    the source was added before, perhaps from another place; exclude: globs of what is not taken, for all or by root;
    may_be_empty: roots of folders that need not hold a picture any more; label_column: where labels are.

    Members of a pattern in which there is nothing are left out (`Sources.aside`), as are such files among several
    specs: a shell may have expanded the pattern. Raises SourceError as `open_source` does, and when nothing is left."""
    if not specs:
        raise SourceError(
            "No source was given: name a folder, a .tar, a .parquet, a picture or a glob of those."
        )
    aside = LeftOut()
    found, empty = [], None
    for spec in specs:
        try:
            found += _sources(spec, aside, may_be_empty)
        except EmptySource as error:
            if len(specs) == 1 or Path(spec).is_dir():  # a folder may be a drive that is not mounted
                raise
            empty = error
            _set_aside(Path(spec), aside)
    if empty is not None and not found:
        raise empty
    sources = _distinct(found)
    for source in sources:
        source.exclude, source.label_column = of_root(exclude, source.root), label_column
        source.id = (ids or {}).get(source.root, source.id)
    by_id: dict[str, Path] = {}
    for source in sources:
        other = by_id.setdefault(source.id, source.root)
        if other != source.root:
            raise SourceError(
                f"The sources {quoted(other)} and {quoted(source.root)} have one id ({source.id}): give each its own."
            )
    return Sources(tuple(sources), aside)


def source_id(root: Path) -> str:
    """The id a root gets when none is known: 12 hex of BLAKE2b of the resolved path's bytes."""
    return blake2b(os.fsencode(root.resolve()), digest_size=6).hexdigest()


def _distinct(sources: list[Source]) -> list[Source]:
    """Each root once: single pictures of one folder are one source, and part of that folder when it is given whole."""
    by_root: dict[Path, Source] = {}
    for source in sources:
        known = by_root.setdefault(source.root, source)
        if known is not source and known.names is not None:
            known.names = None if source.names is None else known.names | source.names
    return list(by_root.values())


def _sources(spec: str | Path, aside: LeftOut, may_be_empty: Collection[Path] = ()) -> list[Source]:
    text = os.fspath(spec)
    if not text:
        raise SourceError(
            "An empty name is not a source: name a folder, a .tar, a .parquet, a picture or a glob of those."
        )
    if "://" in text:
        raise SourceError(
            f"{quoted(text)} is an address, and nothing is fetched: download it and give the path."
        )
    path = _existing(os.path.expanduser(text))
    if path is not None:
        return [_source(path, _kind(path, text), may_be_empty)]
    if not is_pattern(text):
        raise SourceError(
            f"There is nothing at {quoted(text)}: check the path and that its drive is mounted."
        )
    found = matches(text)
    # A glob may catch a README beside the shards; a file named outright must be a source.
    kinds: list[tuple[Path, _Thing]] = []
    for match in map(Path, found):
        kind = _kind_or_none(match)
        if kind is not None:
            kinds.append((match, kind))
        elif match.is_file():
            aside.add("suffix", suffix_of(match.name), shown(str(match)))
    if any(kind not in ("vectors", "parquet") for _, kind in kinds):  # nor are arrays beside pictures meant
        for path, kind in kinds:
            if kind == "vectors":
                aside.add("suffix", suffix_of(path.name), shown(str(path)))
        kinds = [pair for pair in kinds if pair[1] != "vectors"]
    if not kinds:
        what = f"only things that are no source ({quoted(found[0])} …)" if found else "nothing"
        raise SourceError(f"The pattern {quoted(text)} matches {what}: check it, and quote it for the shell.")
    if "**" in text:
        # '**' yields every folder on the way besides the files in it; the files are what is meant.
        kinds = [pair for pair in kinds if pair[1] != "folder"] or kinds[:1]
    sources = []
    for path, kind in kinds:
        try:
            sources.append(_source(path, kind, may_be_empty))
        except EmptySource as error:
            if len(kinds) == 1:
                raise
            empty = error
            _set_aside(path, aside)
    if not sources:
        raise EmptySource(f"Nothing is left of the pattern {quoted(text)}: {empty}") from empty
    return sources


def _set_aside(path: Path, aside: LeftOut) -> None:
    ours = is_ours(str(path)) if path.is_dir() else None
    if ours is not None:
        aside.add("ours", f"{ours} of sightbook", shown(str(path)))
        return
    what = "folder" if path.is_dir() else suffix_of(path.name) or "file"
    aside.add("empty", what, shown(str(path)))


def _source(path: Path, kind: _Thing, may_be_empty: Collection[Path]) -> Source:
    """Opens what is there, checking now what would otherwise fail after minutes of work."""
    if kind == "picture":
        root = path.parent.resolve()
        return Source(source_id(root), "folder", root, frozenset([to_text(path.name)]))
    root = path.resolve()
    if kind == "folder":
        if root not in may_be_empty and next(iter(Walk(str(root))), None) is None:
            raise EmptySource(nothing_in(root))
        return Source(source_id(root), kind, root)
    refuse_hollow(root)
    if kind == "tar":
        if not tar.has_pictures(str(root)):
            raise EmptySource(
                f"There are no pictures in the tar file {quoted(path)}: check that it is the right one."
            )
    elif kind == "cifar":
        cifar.check(str(root))
    elif kind == "parquet" and not len(Table(Origin.now("parquet", str(root)))):
        raise EmptySource(
            f"There are no rows in the Parquet file {quoted(path)}: check that it is the right one."
        )
    elif kind == "parquet" and vectors.holds_vectors(str(root)):
        kind = "vectors"
    elif kind == "parquet":
        parquet.check(str(root))
    if kind == "vectors":
        vectors.shape(str(root))
    return Source(source_id(root), kind, root)


def _kind(path: Path, text: str) -> _Thing:
    kind = _kind_or_none(path)
    if kind is None:
        raise SourceError(
            f"{quoted(text)} is no source: give a folder, a .tar, a .parquet, a picture "
            f"({' '.join(sorted(PICTURE_SUFFIXES))}), or a .npy of vectors."
        )
    return kind


def _kind_or_none(path: Path) -> _Thing | None:
    if path.is_dir():
        return "folder"
    if not path.is_file():
        return None
    if tar.is_tar_name(path.name):
        return "tar"
    if path.suffix.lower() == ".parquet":
        return "parquet"
    if is_npy(path):
        return "vectors"
    if cifar.is_batch_name(path.name):
        return "cifar"
    return "picture" if is_picture_name(path.name.lstrip(".")) else None


def _existing(text: str) -> Path | None:
    """What there is of this name, in whatever Unicode normalization."""
    found = existing(text)
    return Path(found) if found is not None and os.path.exists(found) else None

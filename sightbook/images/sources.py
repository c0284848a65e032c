"""Sources: folders, tar and Parquet files, CIFAR-10's batches, single pictures, files of vectors, globs of those, as
one stream."""

# Plain strings: a walk touches a hundred thousand paths, and Path objects would double its time.
# ruff: noqa: PTH110, PTH111, PTH116, PTH118, PTH207

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Literal

from sightbook.errors import SourceError
from sightbook.images import cifar, parquet, tar, vectors
from sightbook.images.entry import Entry, Kind, Origin
from sightbook.images.find import PICTURE_SUFFIXES, Walk, is_picture_name
from sightbook.images.names import existing, shown, to_text
from sightbook.images.npy import is_npy

__all__ = ["Entry", "Source", "Sources", "open_source", "open_sources", "source_id"]

_Thing = Literal["folder", "tar", "parquet", "cifar", "vectors", "picture"]


@dataclass
class Source:
    """One root with pictures, or with vectors (of the kind `vectors`). `id` with an entry's path is the picture's key;
    the root may move, the id stays.

    `names` (relative paths) restricts a folder to single pictures; None is the whole folder. `inside`, a path that ends
    with '/', restricts it to the folder there. `exclude` are globs of what is not taken (`excluded` says what they
    match), of paths within that folder or within the root.
    `problems` holds, after a walk, one sentence for each sub-folder that could not be read.
    """

    id: str
    kind: Kind
    root: Path
    names: frozenset[str] | None = None
    inside: str = ""
    exclude: tuple[str, ...] = ()
    problems: list[str] = field(default_factory=list)

    def entries(self) -> Iterator[Entry]:
        """Each picture once, in a stable order: folders by code point of the relative POSIX path, tar files in the
        order of the archive, Parquet files and vectors by row. Raises SourceError when the root is gone or damaged."""
        if not self.exclude:
            return self._all()
        left_out = excluded(self.exclude)
        start = len(self.inside)
        return (
            entry
            for entry in self._all()
            if not left_out(entry.path) and not (start and left_out(entry.path[start:]))
        )

    def _all(self) -> Iterator[Entry]:
        root = str(self.root)
        if self.kind == "tar":
            yield from tar.entries(self.id, root)
        elif self.kind == "parquet":
            yield from parquet.entries(self.id, root)
        elif self.kind == "cifar":
            yield from cifar.entries(self.id, root)
        elif self.kind == "vectors":
            yield from vectors.entries(self.id, root)
        elif self.names is not None:
            yield from self._named(root, self.names)
        else:
            from sightbook.images.names import to_native

            origin = Origin("folder", root)
            walk = Walk(os.path.join(root, to_native(self.inside)) if self.inside else root)
            self.problems = walk.problems
            for found in walk:
                yield Entry(self.id, self.inside + found.path, found.size, found.mtime_ns, None, origin)

    def _named(self, root: str, names: frozenset[str]) -> Iterator[Entry]:
        from sightbook.images.names import to_native

        origin = Origin("folder", root)
        for name in sorted(names):
            try:
                status = os.stat(os.path.join(root, to_native(name)))
                yield Entry(self.id, name, status.st_size, status.st_mtime_ns, None, origin)
            except OSError:  # reading it will say so, for this one picture
                yield Entry(self.id, name, 0, 0, None, origin)

    @cached_property
    def label_names(self) -> list[str] | None:
        """What the integer labels are called, where the source says so (Hugging Face Parquet); for evaluation."""
        if self.kind == "cifar":
            return cifar.label_names(str(self.root))
        if self.kind == "vectors":
            return vectors.label_names(str(self.root))
        return parquet.label_names(str(self.root)) if self.kind == "parquet" else None


@dataclass(frozen=True)
class Sources:
    """Several sources as one stream, in the order given; no source twice."""

    sources: tuple[Source, ...]

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
    def label_names(self) -> list[str] | None:
        """The names of the labels when every source tells the same ones."""
        told = [source.label_names for source in self.sources]
        return told[0] if told and all(names == told[0] for names in told) else None


def open_source(spec: str | Path, *, id: str | None = None) -> list[Source]:
    """The sources that a path or glob names: one, or several for a glob.

    `id` replaces the default id (12 hex of BLAKE2b of the resolved root) and needs a spec that names one source.
    Raises SourceError: nothing there, no pictures in it, a kind of file that is not a source.
    """
    sources = _distinct(_sources(spec))
    if id is not None:
        if len(sources) != 1:
            raise SourceError(
                f"{_quoted(spec)} names {len(sources)} sources, but one id was given: name one source."
            )
        sources[0].id = id
    return sources


def open_sources(
    specs: Sequence[str | Path],
    ids: Mapping[Path, str] | None = None,
    *,
    exclude: Sequence[str] = (),
    may_be_empty: Collection[Path] = (),
) -> Sources:
    """All sources of `specs` as one stream. `ids` maps a resolved root to an id that is known for it already, because
    the source was added before, perhaps from another place; exclude: globs of pictures to leave out; may_be_empty:
    roots of folders that need not hold a picture any more. Raises SourceError as `open_source` does."""
    if not specs:
        raise SourceError(
            "No source was given: name a folder, a .tar, a .parquet, a picture or a glob of those."
        )
    sources = _distinct([source for spec in specs for source in _sources(spec, may_be_empty)])
    for source in sources:
        source.exclude = tuple(exclude)
        source.id = (ids or {}).get(source.root, source.id)
    by_id: dict[str, Path] = {}
    for source in sources:
        other = by_id.setdefault(source.id, source.root)
        if other != source.root:
            raise SourceError(
                f"The sources {_quoted(other)} and {_quoted(source.root)} have one id ({source.id}): give each its own."
            )
    return Sources(tuple(sources))


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


def excluded(globs: Sequence[str]) -> Callable[[str], bool]:
    """Whether a picture's path within its source is left out: it, its name, or a folder it lies in fits a glob.

    `drafts` and `*.gif` match in every folder, `2019/drafts` from the root; `*` crosses `/`.
    """
    whole = [re.compile(fnmatch.translate(glob_.strip("/"))) for glob_ in globs if glob_.strip("/")]

    def left_out(path: str) -> bool:
        parts = path.split("/")
        names = [*parts, *("/".join(parts[: i + 1]) for i in range(1, len(parts)))]
        return any(pattern.match(name) for pattern in whole for name in names)

    return left_out


def _sources(spec: str | Path, may_be_empty: Collection[Path] = ()) -> list[Source]:
    text = os.fspath(spec)
    if not text:
        raise SourceError(
            "An empty name is not a source: name a folder, a .tar, a .parquet, a picture or a glob of those."
        )
    if "://" in text:
        raise SourceError(
            f"{_quoted(text)} is an address, and nothing is fetched: download it and give the path."
        )
    path = _existing(os.path.expanduser(text))
    if path is not None:
        return [_source(path, _kind(path, text), may_be_empty)]
    if not glob.has_magic(text):
        raise SourceError(
            f"There is nothing at {_quoted(text)}: check the path and that its drive is mounted."
        )
    matches = sorted(glob.glob(os.path.expanduser(text), recursive=True), key=to_text)
    # A glob may catch a README beside the shards; a file named outright must be a source.
    kinds = [(Path(match), kind) for match in matches if (kind := _kind_or_none(Path(match))) is not None]
    if any(kind not in ("vectors", "parquet") for _, kind in kinds):  # nor are arrays beside pictures meant
        kinds = [pair for pair in kinds if pair[1] != "vectors"]
    if not kinds:
        what = f"only things that are no source ({_quoted(matches[0])} …)" if matches else "nothing"
        raise SourceError(
            f"The pattern {_quoted(text)} matches {what}: check it, and quote it for the shell."
        )
    if "**" in text:
        # '**' yields every folder on the way besides the files in it; the files are what is meant.
        kinds = [pair for pair in kinds if pair[1] != "folder"] or kinds[:1]
    return [_source(path, kind, may_be_empty) for path, kind in kinds]


def _source(path: Path, kind: _Thing, may_be_empty: Collection[Path]) -> Source:
    """Opens what is there, checking now what would otherwise fail after minutes of work."""
    if kind == "picture":
        root = path.parent.resolve()
        return Source(source_id(root), "folder", root, frozenset([to_text(path.name)]))
    root = path.resolve()
    if kind == "folder":
        if root not in may_be_empty and next(iter(Walk(str(root))), None) is None:
            raise SourceError(_nothing_in(root))
    elif kind == "tar":
        if not tar.has_pictures(str(root)):
            raise SourceError(
                f"There are no pictures in the tar file {_quoted(path)}: check that it is the right one."
            )
    elif kind == "parquet" and vectors.holds_vectors(str(root)):
        kind = "vectors"
    elif kind == "parquet" and parquet.check(str(root)) == 0:
        raise SourceError(
            f"There are no rows in the Parquet file {_quoted(path)}: check that it is the right one."
        )
    if kind == "vectors":
        vectors.shape(str(root))
    return Source(source_id(root), kind, root)


def _kind(path: Path, text: str) -> _Thing:
    kind = _kind_or_none(path)
    if kind is None:
        raise SourceError(
            f"{_quoted(text)} is no source: give a folder, a .tar, a .parquet, a picture "
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
    if cifar.is_batch(str(path)):
        return "cifar"
    return "picture" if is_picture_name(path.name.lstrip(".")) else None


def _existing(text: str) -> Path | None:
    """What there is of this name, in whatever Unicode normalization."""
    found = existing(text)
    return Path(found) if found is not None and os.path.exists(found) else None


def _nothing_in(root: Path) -> str:
    archives = sorted(p.name for p in root.iterdir() if p.suffix.lower() in (".npy", ".parquet", ".tar"))
    if archives:
        pattern = f"*{Path(archives[0]).suffix}"
        return (
            f"There are no picture files in the folder {_quoted(root)}, but {len(archives)} archives such as "
            f"{shown(archives[0])}: give {_quoted(root / pattern)}."
        )
    suffixes = " ".join(sorted(PICTURE_SUFFIXES))
    return f"There are no pictures ({suffixes}) in the folder {_quoted(root)}: check the path."


def _quoted(path: str | Path) -> str:
    return f"'{shown(os.fspath(path))}'"

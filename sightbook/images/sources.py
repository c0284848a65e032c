"""Several sources as one stream: what `open_sources` makes of the paths and patterns that a user names."""

# Plain strings: a walk touches a hundred thousand paths, and Path objects would double its time.
# ruff: noqa: PTH111, PTH118

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sightbook.errors import SourceError
from sightbook.images.empty import quote
from sightbook.images.entry import EmptySource, Entry
from sightbook.images.exclude import Exclude, of_root
from sightbook.images.left_out import Group, LeftOut
from sightbook.images.names import to_native
from sightbook.images.source import Source, source_id
from sightbook.images.specs import propose, resolve, set_aside

__all__ = ["Entry", "Source", "Sources", "open_source", "open_sources", "source_id"]


@dataclass(frozen=True)
class Sources:
    """Several sources as one stream, in the order given; no source twice. aside: members of patterns that hold nothing,
    or are none."""

    sources: tuple[Source, ...]
    aside: LeftOut = field(default_factory=LeftOut)

    def entries(self) -> Iterator[Entry]:
        """The entries of each source in turn; a file that several folders reach comes once."""
        several = sum(source.of_kind.files for source in self.sources) > 1
        seen: set[tuple[str, str]] = set()
        real: dict[str, str] = {}
        for source in self.sources:
            for entry in source.entries():
                if several and source.of_kind.files:
                    folder, _, name = os.path.join(source.root, to_native(entry.path)).rpartition("/")
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
        told = [source.labels.names for source in self.sources]
        return told[0] if told and all(names == told[0] for names in told) else None


def open_source(spec: str | Path) -> list[Source]:
    """The sources that a path or glob names: one, or several for a glob.

    Raises SourceError: nothing there, no pictures in it, a kind of file that is not a source.
    """
    return _distinct(resolve(spec, LeftOut()))


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
        raise SourceError(f"No source was given: name {propose()}.")
    aside = LeftOut()
    found, empty = [], None
    for spec in specs:
        try:
            found += resolve(spec, aside, may_be_empty)
        except EmptySource as error:
            path = Path(os.path.expanduser(spec))
            if len(specs) == 1 or path.is_dir():  # a folder may be a drive that is not mounted
                raise
            empty = error
            set_aside(path, aside)
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
                f"The sources {quote(other)} and {quote(source.root)} have one id ({source.id}): give each its own."
            )
    return Sources(tuple(sources), aside)


def _distinct(sources: list[Source]) -> list[Source]:
    """Each root once: single pictures of one folder are one source, and part of that folder when it is given whole."""
    by_root: dict[Path, Source] = {}
    for source in sources:
        known = by_root.setdefault(source.root, source)
        if known is not source and known.names is not None:
            known.names = None if source.names is None else known.names | source.names
    return list(by_root.values())

"""From a path or pattern that a user names to the sources there, each looked into before hours of work begin."""

# ruff: noqa: PTH110, PTH111

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from sightbook.errors import SourceError
from sightbook.images.empty import nothing_in, quote, refuse_hollow
from sightbook.images.entry import EmptySource
from sightbook.images.find import PICTURE_SUFFIXES, suffix_of
from sightbook.images.kinds.registry import recognize, suffixes
from sightbook.images.left_out import LeftOut, ignore
from sightbook.images.names import escape, existing
from sightbook.images.ours import is_ours
from sightbook.images.patterns import is_pattern, matches
from sightbook.images.source import Source, SourceKind


def resolve(spec: str | Path, aside: LeftOut, may_be_empty: Collection[Path] = ()) -> list[Source]:
    """The sources that a path or pattern names; `aside` hears of a pattern's members that are none, or hold nothing.
    SourceError when there is none, EmptySource when there is nothing in it. may_be_empty: roots of folders."""
    text = os.fspath(spec)
    if not text:
        raise SourceError(f"An empty name is not a source: name {propose()}.")
    if "://" in text:
        raise SourceError(
            f"{quote(text)} is an address, and nothing is fetched: download it and give the path."
        )
    path = existing(os.path.expanduser(text))
    if path is not None and os.path.exists(path):
        return [_open(Path(path), _recognize(Path(path), text), may_be_empty)]
    if not is_pattern(text):
        raise SourceError(f"There is nothing at {quote(text)}: check the path and that its drive is mounted.")
    members = _members(text, aside)
    sources = []
    for member, kind in members:
        try:
            sources.append(_open(member, kind, may_be_empty))
        except EmptySource as error:
            if len(members) == 1:
                raise
            empty = error
            set_aside(member, aside)
    if not sources:
        raise EmptySource(f"Nothing is left of the pattern {quote(text)}: {empty}") from empty
    return sources


def propose() -> str:
    """What can be named as a source of pictures."""
    return f"a folder, {_list(suffixes(vectors=False))}, a picture or a glob of those"


def set_aside(path: Path, aside: LeftOut) -> None:
    """Notes that there is nothing to take at a path."""
    ours = is_ours(str(path)) if path.is_dir() else None
    if ours is not None:
        aside.add("ours", f"{ours} of sightbook", escape(str(path)))
        return
    what = "folder" if path.is_dir() else suffix_of(path.name) or "file"
    aside.add("empty", what, escape(str(path)))


def _members(pattern: str, aside: LeftOut) -> list[tuple[Path, SourceKind]]:
    """What a pattern fits: it may catch a README beside the shards; a file named outright must be a source."""
    found = matches(pattern)
    members: list[tuple[Path, SourceKind]] = []
    for path in map(Path, found):
        kind = recognize(path)
        if kind is not None:
            members.append((path, kind))
        elif path.is_file():
            aside.add("suffix", suffix_of(path.name), escape(str(path)))
    if not all(kind.of_vectors or kind.either for _, kind in members):  # nor are arrays beside pictures meant
        for path, kind in members:
            if kind.of_vectors:
                aside.add("suffix", suffix_of(path.name), escape(str(path)))
        members = [pair for pair in members if not pair[1].of_vectors]
    if not members:
        what = f"only things that are no source ({quote(found[0])} …)" if found else "nothing"
        raise SourceError(
            f"The pattern {quote(pattern)} matches {what}: check it, and quote it for the shell."
        )
    if "**" in pattern:
        # '**' yields every folder on the way besides the files in it; the files are what is meant.
        members = [pair for pair in members if not pair[0].is_dir()] or members[:1]
    return members


def _recognize(path: Path, text: str) -> SourceKind:
    kind = recognize(path)
    if kind is None:
        raise SourceError(
            f"{quote(text)} is no source: give a folder, {_list(suffixes(vectors=False))}, a picture "
            f"({' '.join(sorted(PICTURE_SUFFIXES))}), or {_list(suffixes(vectors=True))} of vectors."
        )
    return kind


def _open(path: Path, kind: SourceKind, may_be_empty: Collection[Path]) -> Source:
    """Opens what is there, checking now what would otherwise fail after minutes of work."""
    if not kind.files:
        refuse_hollow(path.resolve())
    source = kind.open(path)
    if path.is_dir() and source.root not in may_be_empty and next(kind.entries(source, ignore), None) is None:
        raise EmptySource(nothing_in(source.root, [*suffixes(vectors=False), *suffixes(vectors=True)]))
    return source


def _list(names: Iterable[str]) -> str:
    return ", ".join(f"a {suffix}" for suffix in names)

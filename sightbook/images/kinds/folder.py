"""Pictures in a folder, at any depth, or single ones of it: files by their relative path."""

# Plain strings: a walk touches a hundred thousand paths, and Path objects would double its time.
# ruff: noqa: PTH116, PTH118

from __future__ import annotations

import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from sightbook.images.entry import Entry, Origin, storable
from sightbook.images.find import Walk, is_picture_name
from sightbook.images.left_out import Left
from sightbook.images.names import to_native, to_text
from sightbook.images.pixels.content import open_waiting_for_nobody, read_handle
from sightbook.images.source import Source, SourceKind


def recognize(path: Path) -> bool:
    """A folder, or a file that has the name of a picture; a hidden one, too, as it was named."""
    return path.is_dir() or (is_picture_name(path.name.lstrip(".")) and path.is_file())


def open_folder(path: Path) -> Source:
    """The folder; of a single picture the one it lies in, restricted to it."""
    if path.is_dir():
        return Source.at(KIND, path)
    source = Source.at(KIND, path.parent)
    source.names = frozenset([to_text(path.name)])
    return source


def entries(source: Source, left: Left) -> Iterator[Entry]:
    """The pictures by code point of their paths."""
    root, origin = str(source.root), Origin(KIND, str(source.root))
    if source.names is not None:
        for name in sorted(source.names):
            try:
                status = os.stat(os.path.join(root, to_native(name)))
                yield Entry(source.id, name, status.st_size, storable(status.st_mtime_ns), None, origin)
            except OSError:  # reading it will say so, for this one picture
                yield Entry(source.id, name, 0, 0, None, origin)
        return
    inside = source.inside
    walk = Walk(
        os.path.join(root, to_native(inside)) if inside else root,
        lambda reason, what, path: left(reason, what, inside + path),
    )
    source.problems = walk.problems
    for found in walk:
        yield Entry(source.id, inside + found.path, found.size, found.mtime_ns, None, origin)


def read(origin: Origin, entry: Entry, limit: int) -> bytes:
    """A file's bytes."""
    with _open(origin, entry) as file:
        return read_handle(file, limit)


def head(origin: Origin, entry: Entry, size: int) -> bytes:
    """The first bytes of a file."""
    with _open(origin, entry) as file:
        return file.read(size) or b""


def _open(origin: Origin, entry: Entry) -> FileIO:
    """The file; a pipe that took its place is not waited for."""
    path = os.path.join(origin.root, to_native(entry.path))
    return open(path, "rb", buffering=0, opener=open_waiting_for_nobody)


KIND = SourceKind("folder", "/", recognize, open_folder, entries, read, head, files=True)

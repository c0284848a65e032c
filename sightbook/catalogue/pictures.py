"""Reading the table `pictures`: keys, whereabouts, sizes and digests of what is known. `codes.py` reads their codes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sightbook.catalogue.rows import (
    GOOD,
    MISSING,
    UNREADABLE,
    KeyRow,
    Known,
    MissingRow,
    SourceRow,
    from_column,
    root_from_column,
    to_column,
)
from sightbook.catalogue.sources import sources
from sightbook.catalogue.steady import steady
from sightbook.catalogue.versions import WITH_ABOUT
from sightbook.images.kinds.registry import kinds
from sightbook.images.names import to_text
from sightbook.images.patterns import readings
from sightbook.images.pixels.about import About

if TYPE_CHECKING:
    from sightbook.catalogue.catalogue import Catalogue

Matches = tuple[set[int], set[tuple[str, str]]]  # ids of pictures, keys of failures

# SQLite's limit of variables in one statement is 999 in old builds.
_CHUNK = 900


def by_ids(catalogue: Catalogue, statement: str, ids: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    """The rows of a statement with `IN ({})`, for any number of ids."""
    for start in range(0, len(ids), _CHUNK):
        chunk = [int(id) for id in ids[start : start + _CHUNK]]
        yield from catalogue.connection.execute(statement.format(",".join("?" * len(chunk))), chunk)


@steady
def known(catalogue: Catalogue, source: str) -> dict[str, Known]:
    """Every path of a source the catalogue has heard of, good or not."""
    found = {
        from_column(path): Known(id, size, mtime_ns, state)
        for id, path, size, mtime_ns, state in catalogue.connection.execute(
            "SELECT id, path, size, mtime_ns, state FROM pictures WHERE source = ?", (source,)
        )
    }
    for column, size, mtime_ns in catalogue.connection.execute(
        "SELECT path, size, mtime_ns FROM failures WHERE source = ?", (source,)
    ):
        path = from_column(column)
        row = found.get(path, Known(None, -1, -1, UNREADABLE))
        found[path] = row._replace(failed_size=size, failed_mtime_ns=mtime_ns)
    return found


@steady
def digests(catalogue: Catalogue, ids: Sequence[int]) -> dict[int, bytes]:
    """Content digests by id."""
    return dict(by_ids(catalogue, "SELECT id, digest FROM pictures WHERE id IN ({})", ids))


@steady
def missing(catalogue: Catalogue) -> list[MissingRow]:
    """The pictures whose file is gone, by id."""
    rows = catalogue.connection.execute(
        f"SELECT id, source, path, size, digest FROM pictures WHERE state = {MISSING} ORDER BY +id"
    )
    return [MissingRow(row[0], row[1], from_column(row[2]), row[3], row[4]) for row in rows]


@steady
def rows(catalogue: Catalogue, ids: Sequence[int]) -> list[MissingRow]:
    """The same of any pictures, by id."""
    found = by_ids(catalogue, "SELECT id, source, path, size, digest FROM pictures WHERE id IN ({})", ids)
    return sorted(MissingRow(row[0], row[1], from_column(row[2]), row[3], row[4]) for row in found)


@steady
def page(
    catalogue: Catalogue, after: int, count: int, *, fine: bool = False
) -> list[tuple[int, str, str, str, bytes, *tuple[bytes, ...]]]:
    """(id, source, path, root, digest, packed code) of up to `count` good pictures with ids above `after`.

    fine: and the fine code of each, in a library that keeps them.
    """
    more, join = (", f.code", "JOIN fine f ON f.id = p.id ") if fine else ("", "")
    rows = catalogue.connection.execute(
        f"SELECT p.id, p.source, p.path, s.root, p.digest, p.code{more} FROM pictures p "
        f"JOIN sources s ON s.id = p.source {join}"
        f"WHERE p.state = {GOOD} AND p.id > ? ORDER BY p.id LIMIT ?",
        (after, count),
    )
    return [(row[0], row[1], from_column(row[2]), root_from_column(row[3]), row[4], *row[5:]) for row in rows]


@steady
def keys(catalogue: Catalogue, ids: Sequence[int]) -> dict[int, KeyRow]:
    """Key and whereabouts by id; ids that are gone are absent."""
    rows = by_ids(
        catalogue,
        "SELECT p.id, p.source, p.path, s.kind, s.root, p.digest FROM pictures p "
        "JOIN sources s ON s.id = p.source WHERE p.id IN ({})",
        ids,
    )
    return {
        row[0]: KeyRow(row[1], from_column(row[2]), row[3], root_from_column(row[4]), row[5]) for row in rows
    }


@steady
def about(catalogue: Catalogue, ids: Sequence[int]) -> dict[int, tuple[int, About]]:
    """Bytes of its file and what a picture tells about itself, by id; ids that are gone are absent. No more than width
    and height in a catalogue of an older version, and of what was read before it was brought up."""
    names = About._fields if catalogue.format >= WITH_ABOUT else About._fields[:2]
    found = by_ids(catalogue, f"SELECT id, size, {', '.join(names)} FROM pictures WHERE id IN ({{}})", ids)
    return {row[0]: (row[1], About(*row[2:])) for row in found}


@steady
def find(catalogue: Catalogue, source: str, path: str) -> tuple[int | None, bool]:
    """A key's picture id (None: no picture), and whether it is known as a failure."""
    key = (source, to_column(path))
    row = catalogue.connection.execute(
        "SELECT id FROM pictures WHERE source = ? AND path = ?", key
    ).fetchone()
    failed = catalogue.connection.execute(
        "SELECT 1 FROM failures WHERE source = ? AND path = ?", key
    ).fetchone()
    return None if row is None else int(row[0]), failed is not None


@steady
def latest_sides(catalogue: Catalogue, count: int) -> list[int]:
    """Shorter sides, in pixels, of the pictures that were added last."""
    rows = catalogue.connection.execute(
        f"SELECT min(width, height) FROM pictures WHERE state = {GOOD} AND width > 0 ORDER BY id DESC LIMIT ?",
        (count,),
    )
    return [int(row[0]) for row in rows]


@steady
def match(catalogue: Catalogue, pattern: str) -> Matches:
    """Picture ids and keys of failures whose path, alone or as `locate` shows it, is `pattern`, lies in it, or fits it
    as a glob.

    As in SQLite's GLOB, `*` also crosses `/`. What is the name of something is no glob: `a[1].jpg` is that file where
    there is one, and not `a1.jpg`; nor are the brackets of `a[1]*` where a name has them. Nothing is called "".
    """
    if not pattern:
        return set(), set()
    every = sources(catalogue)
    found = _join(_at(catalogue, source, path) for source in every for path in _within(source, pattern))
    for reading in readings(pattern)[1:]:
        if any(found):
            break
        found = _join(_fitting(catalogue, source, reading) for source in every)
    return found


@steady
def roots_with(catalogue: Catalogue, path: str) -> list[str]:
    """Roots of the sources in which something has this path, or lies in it, from the root on."""
    return sorted(source.root for source in sources(catalogue) if any(_at(catalogue, source, path)))


def _begin(source: SourceRow) -> str:
    """What `SourceKind.locate` shows before a path in the source."""
    joint = next((kind.joint for kind in kinds() if kind.name == source.kind), " row ")
    return to_text(source.root).removesuffix(joint) + joint


def _within(source: SourceRow, text: str) -> Iterator[str | None]:
    """The paths in a source that a text may be: as it stands, and where it begins with the root; None: all of it."""
    begin = _begin(source)
    yield text
    if text.startswith(begin):
        yield text[len(begin) :] or None
    elif begin.startswith(text.rstrip("/") + "/"):
        yield None


def _at(catalogue: Catalogue, source: SourceRow, path: str | None) -> Matches:
    """What has a path in a source, or lies in it; None: all of it. By the index of keys, not by a look at all rows."""
    if path is None:
        return _select(catalogue, source, "1")
    folder = path.rstrip("/")  # what lies in it comes before "folder0": 0 follows / in UTF-8
    return _join(
        (
            _select(catalogue, source, "path = ?", path),
            _select(catalogue, source, "path >= ? AND path < ?", f"{folder}/", f"{folder}0"),
        )
    )


def _fitting(catalogue: Catalogue, source: SourceRow, glob: str) -> Matches:
    return _select(catalogue, source, "(path GLOB ? OR ? || path GLOB ?)", glob, _begin(source), glob)


def _select(catalogue: Catalogue, source: SourceRow, where: str, *texts: str) -> Matches:
    values = (source.id, *map(to_column, texts))
    ids = catalogue.connection.execute(f"SELECT id FROM pictures WHERE source = ? AND {where}", values)
    paths = catalogue.connection.execute(f"SELECT path FROM failures WHERE source = ? AND {where}", values)
    return {row[0] for row in ids}, {(source.id, from_column(row[0])) for row in paths}


def _join(parts: Iterable[Matches]) -> Matches:
    ids, failed = set[int](), set[tuple[str, str]]()
    for part in parts:
        ids |= part[0]
        failed |= part[1]
    return ids, failed

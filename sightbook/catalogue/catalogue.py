"""The truth of a library: sources, pictures with their codes, failures, in one SQLite file.

A picture's key is (source, path); its id is given once and never again. `state` says whether a picture takes part in
searches. Every transaction that changes what a search could answer gives the catalogue a new `stamp`, so whatever was
derived from it (the engine's snapshot) knows whether it is stale. All methods raise sqlite3.Error as it comes;
`database.explained` turns it into sentences.
"""

from __future__ import annotations

import functools
import secrets
import sqlite3
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sightbook.catalogue.database import connect_writer, transaction
from sightbook.catalogue.reader import Reader
from sightbook.catalogue.rows import (
    FINE,
    GOOD,
    MISSING,
    PLAIN,
    SCHEMA,
    UNREADABLE,
    WITH_FINE,
    Counts,
    FailureRow,
    KeyRow,
    Known,
    MissingRow,
    Moved,
    PictureRow,
    SourceRow,
    from_column,
    to_column,
)
from sightbook.images.kinds.registry import kinds
from sightbook.images.patterns import readings

NAME = "catalogue.sqlite"

# SQLite's limit of variables in one statement is 999 in old builds.
_CHUNK = 900
_ROWS = 4_096  # joined at once

_T = TypeVar("_T")
_P = ParamSpec("_P")


def _steady(
    method: Callable[Concatenate[Catalogue, _P], _T],
) -> Callable[Concatenate[Catalogue, _P], _T]:
    """A reading method that gives what is of one committed state."""

    @functools.wraps(method)
    def read(self: Catalogue, /, *arguments: _P.args, **options: _P.kwargs) -> _T:
        return self.steadily(lambda: method(self, *arguments, **options))

    return read


def _locator() -> str:
    """What `SourceKind.locate` shows, of a row x of the source s."""
    joints = " ".join(f"WHEN '{kind.name}' THEN '{kind.joint}'" for kind in kinds())
    return f"(s.root || CASE s.kind {joints} ELSE ' row ' END || x.path)"


class Catalogue:
    """An open catalogue. Reading methods see one committed state each; writing methods are one transaction each."""

    def __init__(self, opened: sqlite3.Connection | Reader) -> None:
        self._opened = opened

    @classmethod
    def create(
        cls, path: Path, fingerprint: str, fine: int | None = None, *, asked: bool = False
    ) -> Catalogue:
        """Opens `path` for writing, laying out the tables when it has none yet; `fine` as in `keep_fine`, asked: by the
        user."""
        catalogue = cls(connect_writer(path))
        if catalogue.connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            with transaction(catalogue.connection):
                for statement in SCHEMA.split(";\n"):
                    catalogue.connection.execute(statement)
                catalogue._set("fingerprint", fingerprint)
                catalogue._set("generation", 0)
                catalogue._set("stamp", _new_stamp(0))
                catalogue.keep_fine(fine)
                if asked:
                    catalogue._set("fine asked", 1)
        return catalogue

    @classmethod
    def write(cls, path: Path) -> Catalogue:
        """Opens an existing catalogue for writing."""
        return cls(connect_writer(path))

    @classmethod
    def read(cls, path: Path) -> Catalogue:
        """Opens an existing catalogue for reading."""
        return cls(Reader(path))

    def close(self) -> None:
        self._opened.close()

    @property
    def connection(self) -> sqlite3.Connection:
        """For statements of the caller's own."""
        return self._opened.connection if isinstance(self._opened, Reader) else self._opened

    # Reading

    @property
    @_steady
    def format(self) -> int:
        """Format of the tables; 0 when they were never laid out."""
        return int(self.connection.execute("PRAGMA user_version").fetchone()[0])

    @property
    @_steady
    def fingerprint(self) -> str:
        """Fingerprint of the model all codes come from."""
        return str(self._get("fingerprint"))

    @property
    @_steady
    def fine(self) -> int | None:
        """Bytes of each picture's fine code; 0: none are kept, as was asked for; None: the model has none."""
        row = self.connection.execute("SELECT value FROM meta WHERE key = 'fine'").fetchone()
        return None if row is None else int(row[0])

    @property
    @_steady
    def fine_by_default(self) -> bool:
        """Whether fine codes are kept though nobody asked for them."""
        return (
            bool(self.fine)
            and not self.connection.execute("SELECT 1 FROM meta WHERE key = 'fine asked'").fetchone()
        )

    @_steady
    def decoding(self, source: str) -> int:
        """The version of decoding (`images.pixels.versions`) that the codes of a source's pictures are of."""
        row = self.connection.execute(
            "SELECT value FROM meta WHERE key = ?", (f"decoding {source}",)
        ).fetchone()
        return 1 if row is None else int(row[0])

    @property
    @_steady
    def ever_held(self) -> bool:
        """Whether an id was ever given."""
        return (
            self.connection.execute("SELECT 1 FROM sqlite_sequence WHERE name = 'pictures'").fetchone()
            is not None
        )

    @property
    @_steady
    def stamp(self) -> str:
        """Names the committed state: generation counter and a random part, so that restored copies never mix."""
        return str(self._get("stamp"))

    @_steady
    def sources(self) -> list[SourceRow]:
        """All sources in the order they were added."""
        rows = self.connection.execute(
            "SELECT id, kind, root, added, scanned FROM sources ORDER BY added, id"
        )
        return [SourceRow(row[0], row[1], from_column(row[2]), row[3], row[4]) for row in rows]

    @_steady
    def known(self, source: str) -> dict[str, Known]:
        """Every path of a source the catalogue has heard of, good or not."""
        found = {
            from_column(path): Known(id, size, mtime_ns, state)
            for id, path, size, mtime_ns, state in self.connection.execute(
                "SELECT id, path, size, mtime_ns, state FROM pictures WHERE source = ?", (source,)
            )
        }
        for column, size, mtime_ns in self.connection.execute(
            "SELECT path, size, mtime_ns FROM failures WHERE source = ?", (source,)
        ):
            path = from_column(column)
            row = found.get(path, Known(None, -1, -1, UNREADABLE))
            found[path] = row._replace(failed_size=size, failed_mtime_ns=mtime_ns)
        return found

    @_steady
    def digests(self, ids: Sequence[int]) -> dict[int, bytes]:
        """Content digests by id."""
        return dict(self._by_ids("SELECT id, digest FROM pictures WHERE id IN ({})", ids))

    @_steady
    def missing(self) -> list[MissingRow]:
        """The pictures whose file is gone, by id."""
        rows = self.connection.execute(
            f"SELECT id, source, path, size, digest FROM pictures WHERE state = {MISSING} ORDER BY id"
        )
        return [MissingRow(row[0], row[1], from_column(row[2]), row[3], row[4]) for row in rows]

    @_steady
    def rows(self, ids: Sequence[int]) -> list[MissingRow]:
        """The same of any pictures, by id."""
        found = self._by_ids("SELECT id, source, path, size, digest FROM pictures WHERE id IN ({})", ids)
        return sorted(MissingRow(row[0], row[1], from_column(row[2]), row[3], row[4]) for row in found)

    def steadily(self, read: Callable[[], _T]) -> _T:
        """What `read` gives; all that it reads is of one committed state, whatever a writer does meanwhile. It may be
        called again: see `Reader.steadily`."""
        if isinstance(self._opened, Reader):
            return self._opened.steadily(read)
        if self._opened.in_transaction:
            return read()
        self._opened.execute("BEGIN")
        try:
            return read()
        finally:
            self._opened.execute("COMMIT")

    def stands(self) -> bool:
        """Whether what was read inside `steadily` so far is of one committed state."""
        return not isinstance(self._opened, Reader) or self._opened.stands()

    @_steady
    def codes(self) -> tuple[str, array[int], bytearray]:
        """(stamp, ids ascending, their packed codes joined) of the good pictures, from one committed state."""
        ids, (codes,) = self._joined("id", ("code",), "FROM pictures WHERE state = 0")
        return self.stamp, ids, codes

    @_steady
    def codes_and_digests(self) -> tuple[str, array[int], bytearray, bytearray]:
        """The same, and their content digests joined."""
        ids, (codes, digests) = self._joined("id", ("code", "digest"), "FROM pictures WHERE state = 0")
        return self.stamp, ids, codes, digests

    @_steady
    def fine_codes(self) -> tuple[str, array[int], bytearray]:
        """`codes` of their fine codes. A picture that lacks its own, which only damage can do, is left out."""
        ids, (codes,) = self._joined(
            "p.id", ("f.code",), "FROM pictures p CROSS JOIN fine f ON f.id = p.id WHERE p.state = 0"
        )
        return self.stamp, ids, codes

    @_steady
    def fine_of(self, ids: Sequence[int]) -> dict[int, bytes]:
        """Fine codes by id, where there are such."""
        return dict(self._by_ids("SELECT id, code FROM fine WHERE id IN ({})", ids))

    @_steady
    def lacking_fine(self) -> int:
        """Pictures that could be found and have no sound fine code, where such are kept."""
        width = self.fine
        if not width:
            return 0
        (count,) = self.connection.execute(
            f"SELECT count(*) FROM pictures p WHERE state = {GOOD} AND NOT EXISTS "
            f"(SELECT 1 FROM fine f WHERE f.id = p.id AND length(f.code) = {width})"
        ).fetchone()
        return int(count)

    @_steady
    def page(
        self, after: int, count: int, *, fine: bool = False
    ) -> list[tuple[int, str, str, str, bytes, *tuple[bytes, ...]]]:
        """(id, source, path, root, digest, packed code) of up to `count` good pictures with ids above `after`.

        fine: and the fine code of each, in a library that keeps them.
        """
        more, join = (", f.code", "JOIN fine f ON f.id = p.id ") if fine else ("", "")
        rows = self.connection.execute(
            f"SELECT p.id, p.source, p.path, s.root, p.digest, p.code{more} FROM pictures p "
            f"JOIN sources s ON s.id = p.source {join}"
            f"WHERE p.state = {GOOD} AND p.id > ? ORDER BY p.id LIMIT ?",
            (after, count),
        )
        return [(row[0], row[1], from_column(row[2]), from_column(row[3]), row[4], *row[5:]) for row in rows]

    @_steady
    def keys(self, ids: Sequence[int]) -> dict[int, KeyRow]:
        """Key and whereabouts by id; ids that are gone are absent."""
        rows = self._by_ids(
            "SELECT p.id, p.source, p.path, s.kind, s.root, p.digest FROM pictures p "
            "JOIN sources s ON s.id = p.source WHERE p.id IN ({})",
            ids,
        )
        return {
            row[0]: KeyRow(row[1], from_column(row[2]), row[3], from_column(row[4]), row[5]) for row in rows
        }

    @_steady
    def reader(self, source: str) -> str | None:
        """Who read all of a source last (`passing.reader`); None: an older program, or nobody to the end."""
        row = self.connection.execute(
            "SELECT value FROM meta WHERE key = ?", (f"reader {source}",)
        ).fetchone()
        return None if row is None else str(row[0])

    @_steady
    def find(self, source: str, path: str) -> tuple[int | None, bool]:
        """A key's picture id (None: no picture), and whether it is known as a failure."""
        key = (source, to_column(path))
        row = self.connection.execute("SELECT id FROM pictures WHERE source = ? AND path = ?", key).fetchone()
        failed = self.connection.execute(
            "SELECT 1 FROM failures WHERE source = ? AND path = ?", key
        ).fetchone()
        return None if row is None else int(row[0]), failed is not None

    @_steady
    def content(self) -> dict[tuple[str, str], tuple[bytes, bytes]]:
        """Digest and packed code by key, of the good pictures: what two libraries are compared by."""
        rows = self.connection.execute("SELECT source, path, digest, code FROM pictures WHERE state = 0")
        return {(source, from_column(path)): (digest, code) for source, path, digest, code in rows}

    @_steady
    def fine_content(self) -> dict[tuple[str, str], bytes]:
        """Fine codes by key, of the good pictures that have one."""
        rows = self.connection.execute(
            "SELECT p.source, p.path, f.code FROM pictures p JOIN fine f ON f.id = p.id WHERE p.state = 0"
        )
        return {(source, from_column(path)): code for source, path, code in rows}

    @_steady
    def failures(self) -> list[FailureRow]:
        """All failures, by source and path."""
        rows = self.connection.execute(
            "SELECT source, path, size, mtime_ns, reason, failed FROM failures ORDER BY source, path"
        )
        return [FailureRow(row[0], from_column(row[1]), *row[2:]) for row in rows]

    @_steady
    def counts(self) -> dict[str, Counts]:
        """Counts by source id; every source has an entry."""
        by_state: dict[str, list[int]] = {row.id: [0, 0, 0, 0] for row in self.sources()}
        for source, state, n in self.connection.execute(
            "SELECT source, state, count(*) FROM pictures GROUP BY source, state"
        ):
            by_state[source][state] = n
        for source, n in self.connection.execute("SELECT source, count(*) FROM failures GROUP BY source"):
            by_state[source][3] = n
        return {source: Counts(*numbers) for source, numbers in by_state.items()}

    @_steady
    def match(self, pattern: str) -> tuple[set[int], set[tuple[str, str]]]:
        """Picture ids and keys of failures whose path, alone or as `locate` shows it, is `pattern`, lies in it, or fits
        it as a glob.

        As in SQLite's GLOB, `*` also crosses `/`. What is the name of something is no glob: `a[1].jpg` is that file
        where there is one, and not `a1.jpg`; nor are the brackets of `a[1]*` where a name has them. Nothing is called
        "".
        """
        if not pattern:
            return set(), set()
        locator = _locator()
        names = {"exact": to_column(pattern), "inside": to_column(pattern.rstrip("/") + "/")}
        named = self._matching(
            f"x.path = :exact OR {locator} = :exact OR substr(x.path, 1, length(:inside)) = :inside"
            f" OR substr({locator}, 1, length(:inside)) = :inside",
            names,
        )
        if any(named):
            return named
        for reading in readings(pattern)[1:]:
            fitting = self._matching(
                f"x.path GLOB :exact OR {locator} GLOB :exact", {"exact": to_column(reading)}
            )
            if any(fitting):
                return fitting
        return set(), set()

    @_steady
    def latest_sides(self, count: int) -> list[int]:
        """Shorter sides, in pixels, of the pictures that were added last."""
        rows = self.connection.execute(
            "SELECT min(width, height) FROM pictures WHERE state = 0 AND width > 0 ORDER BY id DESC LIMIT ?",
            (count,),
        )
        return [int(row[0]) for row in rows]

    # Writing

    def put_source(self, id: str, kind: str, root: str, now: float) -> None:
        """Adds a source, or gives a known one a new root."""
        with transaction(self.connection):
            self.connection.execute(
                "INSERT INTO sources (id, kind, root, added) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, root = excluded.root",
                (id, kind, to_column(root), now),
            )

    def take_over(
        self,
        source: str,
        former: str,
        *,
        rekeyed: Sequence[tuple[int, str]],
        doubles: Sequence[int],
        failures: Sequence[tuple[str, str]],
    ) -> None:
        """Makes pictures (id, new path) and failures (old path, new path) of the source `former` those of `source`;
        ids that are doubles go. The former source goes when nothing is left of it."""
        gone = [(id,) for id in doubles]
        with transaction(self.connection):
            if self.fine:
                self.connection.executemany("DELETE FROM fine WHERE id = ?", gone)
            self.connection.executemany("DELETE FROM pictures WHERE id = ?", gone)
            self.connection.executemany(
                "UPDATE pictures SET source = ?, path = ? WHERE id = ?",
                [(source, to_column(path), id) for id, path in rekeyed],
            )
            self.connection.executemany(
                "INSERT OR REPLACE INTO failures (source, path, size, mtime_ns, reason, failed) "
                "SELECT ?, ?, size, mtime_ns, reason, failed FROM failures WHERE source = ? AND path = ?",
                [(source, to_column(new), former, to_column(old)) for old, new in failures],
            )
            self._forget((former, old) for old, _ in failures)
            self.connection.execute(
                "DELETE FROM sources WHERE id = :id AND NOT EXISTS (SELECT 1 FROM pictures WHERE source = :id) "
                "AND NOT EXISTS (SELECT 1 FROM failures WHERE source = :id)",
                {"id": former},
            )
            self._advance()

    def put_reader(self, source: str, reader: str) -> None:
        """Notes who has read all of a source."""
        with transaction(self.connection):
            self._set(f"reader {source}", reader)

    def put_decoding(self, source: str, version: int) -> None:
        """Says which version of decoding the codes of a source's pictures are of."""
        with transaction(self.connection):
            self._set(f"decoding {source}", version)

    def settle(
        self,
        source: str,
        *,
        back: Iterable[int] = (),
        missing: Iterable[int] = (),
        moved: Iterable[Moved] = (),
        forget: Iterable[str] = (),
        now: float,
    ) -> None:
        """Records a scan: ids that are good again, ids whose file is gone, ids that have a new path in this source,
        failures to forget; then the time."""
        good, lost = [(id,) for id in back], [(id,) for id in missing]
        paths = [(source, to_column(row.path), row.mtime_ns, row.id) for row in moved]
        with transaction(self.connection):
            self.connection.executemany(
                f"UPDATE pictures SET source = ?, path = ?, mtime_ns = ?, state = {GOOD} WHERE id = ?", paths
            )
            self.connection.executemany(f"UPDATE pictures SET state = {GOOD} WHERE id = ?", good)
            self.connection.executemany(f"UPDATE pictures SET state = {MISSING} WHERE id = ?", lost)
            self._forget((source, path) for path in forget)
            self.connection.execute("UPDATE sources SET scanned = ? WHERE id = ?", (now, source))
            if good or lost or paths:
                self._advance()

    def put(
        self,
        pictures: Sequence[PictureRow],
        failures: Sequence[FailureRow] = (),
        gone: Sequence[tuple[str, str]] = (),
    ) -> None:
        """One batch: pictures new or changed (a known key keeps its id), failures, and keys whose file vanished.

        A picture that was good and fails now leaves the searches but keeps its id and what was known of it. Each
        picture has its fine code where the library keeps them, and none where it does not.
        """
        with transaction(self.connection):
            width = self.fine or 0
            assert all(len(row.fine) == width for row in pictures), "a fine code is missing, or one too many"
            self.connection.executemany(
                "INSERT INTO pictures (source, path, size, mtime_ns, digest, width, height, code) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (source, path) DO UPDATE SET size = excluded.size, "
                "mtime_ns = excluded.mtime_ns, digest = excluded.digest, width = excluded.width, "
                f"height = excluded.height, code = excluded.code, state = {GOOD}",
                [(row.source, to_column(row.path), *row[2:8]) for row in pictures],
            )
            if width:
                self.connection.executemany(
                    "INSERT OR REPLACE INTO fine (id, code) SELECT id, ? FROM pictures WHERE source = ? AND path = ?",
                    [(row.fine, row.source, to_column(row.path)) for row in pictures],
                )
            self._forget((row.source, row.path) for row in pictures)
            self.connection.executemany(
                "INSERT OR REPLACE INTO failures (source, path, size, mtime_ns, reason, failed) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                [(row.source, to_column(row.path), *row[2:]) for row in failures],
            )
            for state, keys in ((UNREADABLE, [row[:2] for row in failures]), (MISSING, gone)):
                self.connection.executemany(
                    f"UPDATE pictures SET state = {state} WHERE source = ? AND path = ?",
                    [(source, to_column(path)) for source, path in keys],
                )
            self._advance()

    def remove(
        self, ids: Iterable[int], failures: Iterable[tuple[str, str]] = (), sources: Iterable[str] = ()
    ) -> int:
        """Deletes pictures, failure rows, whole sources; returns how many pictures went. Their ids never come back."""
        numbers, whole = [(id,) for id in ids], [(source,) for source in sources]
        with transaction(self.connection):
            if self.fine:
                self.connection.executemany("DELETE FROM fine WHERE id = ?", numbers)
                self.connection.executemany(
                    "DELETE FROM fine WHERE id IN (SELECT id FROM pictures WHERE source = ?)", whole
                )
            before = self.connection.total_changes
            self.connection.executemany("DELETE FROM pictures WHERE id = ?", numbers)
            self.connection.executemany("DELETE FROM pictures WHERE source = ?", whole)
            removed = self.connection.total_changes - before
            self._forget(failures)
            self.connection.executemany("DELETE FROM failures WHERE source = ?", whole)
            self.connection.executemany("DELETE FROM sources WHERE id = ?", whole)
            self._advance()
        return removed

    def adopt(self, fingerprint: str) -> None:
        """Names the model that all codes are of from now on; inside the caller's transaction."""
        self._set("fingerprint", fingerprint)
        self._advance()

    def keep_fine(self, fine: int | None) -> None:
        """From now on keeps fine codes of so many bytes, empty at first; 0 or None: none (see `fine`). Inside the
        caller's transaction."""
        self.connection.execute("DROP TABLE IF EXISTS fine")
        self.connection.execute("DELETE FROM meta WHERE key = 'fine'")
        if fine is not None:
            self._set("fine", fine)
        if fine:
            self.connection.execute(FINE)
        # Part of the transaction like everything else.
        self.connection.execute(f"PRAGMA user_version = {WITH_FINE if fine else PLAIN}")

    def decline_fine(self) -> None:
        """Keeps no fine codes after all, in a catalogue that never held a picture."""
        with transaction(self.connection):
            self.keep_fine(0)
            self._advance()

    def mend_fine(self) -> tuple[int, int]:
        """Has the next `add` read every picture again that could be found without a sound fine code, and drops fine
        codes of no picture: how many of each. Until then such a picture is left out of searches."""
        width = self.fine
        if not width:
            return 0, 0
        with transaction(self.connection):
            self.connection.execute(FINE.replace("TABLE", "TABLE IF NOT EXISTS", 1))
            stray = self.connection.execute(
                "DELETE FROM fine WHERE id NOT IN (SELECT id FROM pictures)"
            ).rowcount
            # One that no size or time fits is read again in any case, and not found before (migrate.py).
            lacking = self.connection.execute(
                "UPDATE pictures SET size = -1, mtime_ns = -1, "
                f"state = CASE WHEN state = {GOOD} THEN {MISSING} ELSE state END "
                f"WHERE (size != -1 OR state = {GOOD}) AND NOT EXISTS "
                f"(SELECT 1 FROM fine f WHERE f.id = pictures.id AND length(f.code) = {width})"
            ).rowcount
            if stray or lacking:
                self._advance()
        return lacking, stray

    # Parts

    def _joined(self, id: str, columns: Sequence[str], rows: str) -> tuple[array[int], list[bytearray]]:
        """The ids of the rows, ascending, and each of the columns joined.

        SQLite joins some thousand rows in one step, during which other threads go on; row by row, searching threads
        and this one would wait for each other at every row.
        """
        ids = array("q")  # not a list of rows: that takes ten times the room
        joined = [bytearray() for _ in columns]
        names = [f"c{number}" for number in range(len(columns))]
        inner = ", ".join(f"{column} AS {name}" for column, name in zip(columns, names, strict=True))
        outer = ", ".join(f"group_concat(hex({name}), '')" for name in names)
        statement = (
            f"SELECT group_concat(i, ' '), {outer} "
            f"FROM (SELECT {id} AS i, {inner} {rows} AND {id} > ? ORDER BY {id} LIMIT {_ROWS})"
        )
        while True:
            last = ids[-1] if ids else -1
            found, *parts = self.connection.execute(statement, (last,)).fetchone()
            if found is None:
                return ids, joined
            ids.extend(map(int, found.split(" ")))
            for column, part in zip(joined, parts, strict=True):
                column.extend(bytes.fromhex(part))

    def _matching(self, where: str, names: dict[str, str | bytes]) -> tuple[set[int], set[tuple[str, str]]]:
        join = f"x JOIN sources s ON s.id = x.source WHERE {where}"
        ids = self.connection.execute(f"SELECT x.id FROM pictures {join}", names)
        failed = self.connection.execute(f"SELECT x.source, x.path FROM failures {join}", names)
        return {row[0] for row in ids}, {(row[0], from_column(row[1])) for row in failed}

    def _forget(self, keys: Iterable[tuple[str, str]]) -> None:
        self.connection.executemany(
            "DELETE FROM failures WHERE source = ? AND path = ?",
            [(source, to_column(path)) for source, path in keys],
        )

    def _advance(self) -> None:
        generation = int(str(self._get("generation"))) + 1
        self._set("generation", generation)
        self._set("stamp", _new_stamp(generation))

    def _get(self, key: str) -> object:
        return self.connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0]

    def _set(self, key: str, value: object) -> None:
        self.connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))

    def _by_ids(self, statement: str, ids: Sequence[int]) -> Iterator[tuple]:  # type: ignore[type-arg]
        for start in range(0, len(ids), _CHUNK):
            chunk = [int(id) for id in ids[start : start + _CHUNK]]
            yield from self.connection.execute(statement.format(",".join("?" * len(chunk))), chunk)


def _new_stamp(generation: int) -> str:
    return f"{generation}-{secrets.token_hex(8)}"

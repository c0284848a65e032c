"""The tables of a library's catalogue and the rows that go in and out of them."""

from __future__ import annotations

from typing import NamedTuple

# 1: codes only; 2: with fine codes. A catalogue without them stays 1: older programs go on with it.
PLAIN, WITH_FINE = 1, 2
FORMAT = WITH_FINE  # read up to

# What a picture's row stands for. Only GOOD ones are searched; the others keep id and code and may come back.
GOOD, MISSING, UNREADABLE = 0, 1, 2

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
CREATE TABLE sources (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, root TEXT NOT NULL UNIQUE, added REAL NOT NULL, scanned REAL
);
CREATE TABLE pictures (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    source TEXT NOT NULL REFERENCES sources (id),
    path TEXT NOT NULL,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, digest BLOB NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL,
    code BLOB NOT NULL, state INTEGER NOT NULL DEFAULT 0,
    UNIQUE (source, path)
);
CREATE TABLE failures (
    source TEXT NOT NULL REFERENCES sources (id),
    path TEXT NOT NULL,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, reason TEXT NOT NULL, failed REAL NOT NULL,
    PRIMARY KEY (source, path)
) WITHOUT ROWID;
"""

FINE = "CREATE TABLE fine (id INTEGER PRIMARY KEY, code BLOB NOT NULL)"


class SourceRow(NamedTuple):
    """One source: where its pictures are read from. `root` may change, `id` and the keys under it stay."""

    id: str
    kind: str
    root: str
    added: float
    scanned: float | None


class PictureRow(NamedTuple):
    """A picture to be written: `digest` is the blake2b-128 of its bytes, `code` the packed code, `fine` the fine code
    where the library keeps such."""

    source: str
    path: str
    size: int
    mtime_ns: int
    digest: bytes
    width: int
    height: int
    code: bytes
    fine: bytes = b""


class KeyRow(NamedTuple):
    """A picture's key, where its source stands, and the digest of its content."""

    source: str
    path: str
    kind: str
    root: str
    digest: bytes


class FailureRow(NamedTuple):
    """A picture that could not be read, as it was then; `failed` in seconds since 1970."""

    source: str
    path: str
    size: int
    mtime_ns: int
    reason: str
    failed: float


class Known(NamedTuple):
    """What the catalogue knows about a path: `id` None when it only ever failed."""

    id: int | None
    size: int
    mtime_ns: int
    state: int
    failed_size: int | None = None
    failed_mtime_ns: int | None = None


class MissingRow(NamedTuple):
    """A picture whose file is not where it was, with what another file can be recognized by."""

    id: int
    source: str
    path: str
    size: int
    digest: bytes


class Moved(NamedTuple):
    """A picture that is found again under another path of the source."""

    id: int
    path: str
    mtime_ns: int


class Counts(NamedTuple):
    """Pictures of a source by state, and its failure rows."""

    good: int = 0
    missing: int = 0
    unreadable: int = 0
    failures: int = 0


def to_column(path: str) -> str | bytes:
    """A path as SQLite keeps it: text, or bytes when the file's name is not UTF-8 (lone surrogates in Python)."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return path.encode("utf-8", "surrogateescape")
    return path


def from_column(value: str | bytes) -> str:
    """The inverse of `to_column`."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")

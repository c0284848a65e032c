"""The rows that go in and out of a catalogue."""

from __future__ import annotations

from typing import NamedTuple

from sightbook.images.names import from_unicode, to_unicode
from sightbook.images.pixels.about import About

# Tables whose rows go with a picture, and the column that has its id. `batches` sees to it: told by REFERENCES, SQLite
# would look into each for every row that goes, which takes four times as long.
OF_A_PICTURE = (("fine", "id"), ("metadata", "picture"), ("descriptions", "picture"))

# What a picture's row stands for. Only GOOD ones are searched; the others keep id and code and may come back.
GOOD, MISSING, UNREADABLE = 0, 1, 2


class SourceRow(NamedTuple):
    """One source: where its pictures are read from. `root` may change, `id` and the keys under it stay."""

    id: str
    kind: str
    root: str
    added: float
    scanned: float | None


class PictureRow(NamedTuple):
    """A picture to be written: `digest` is the blake2b-128 of its bytes, `code` the packed code, `fine` the fine code
    where the library keeps such; NULL stands for what it does not tell about itself."""

    source: str
    path: str
    size: int
    mtime_ns: int
    digest: bytes
    about: About
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


def root_to_column(root: str) -> str | bytes:
    """A root as SQLite keeps it: a name as the file system gives it, while the paths under it are texts already. It is
    kept alike whatever locale Python runs in."""
    return to_column(to_unicode(root))


def root_from_column(value: str | bytes) -> str:
    """The inverse of `root_to_column`."""
    return from_unicode(from_column(value))

"""One picture of a source: who it is, and how any process reads its bytes."""

# Plain strings: a walk touches a hundred thousand paths, and Path objects would double its time.
# ruff: noqa: PTH110, PTH116

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sightbook.errors import PictureError, SourceError
from sightbook.images.label import Label
from sightbook.images.names import escape
from sightbook.images.pixels.guards import limits, too_large

if TYPE_CHECKING:
    from sightbook.images.source import SourceKind


class EmptySource(SourceError):
    """A source in which there is nothing to take; among others it is left out with a word."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a source lies just now; shared by its entries, so that it is pickled once for many.

    `size` and `mtime_ns` are those of the archive when it was listed (0 for a folder): places inside a tar or Parquet
    file that was rewritten since are worthless.
    """

    kind: SourceKind
    root: str
    size: int = 0
    mtime_ns: int = 0

    @staticmethod
    def now(kind: SourceKind, root: str) -> Origin:
        """The origin with the archive's present size and time; raises SourceError when it is gone."""
        status = _status(root)
        if stat.S_ISDIR(status.st_mode):
            return Origin(kind, root)
        return Origin(kind, root, status.st_size, storable(status.st_mtime_ns))

    def check(self) -> None:
        """Raises SourceError when the archive vanished or was rewritten since it was listed."""
        if not self.size:  # a folder, whose pictures tell for themselves
            return
        status = _status(self.root)
        if (status.st_size, storable(status.st_mtime_ns)) != (self.size, self.mtime_ns):
            raise SourceError(f"The source {escape(self.root)} changed while it was read: run again.")


@dataclass(frozen=True, slots=True)
class Entry:
    """A picture (or a vector) of a source; small, picklable, readable from any process that sees the same files.

    `path` is the relative POSIX path, the tar member's name or the number of a row; with `source` it is the
    picture's key, which does not change when the source moves. `size` is in bytes; `label` is for evaluation only.
    """

    source: str
    path: str
    size: int
    mtime_ns: int
    label: Label = None
    origin: Origin | None = field(default=None, compare=False, repr=False)
    offset: int | None = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> tuple[str, str]:
        """(source id, path): stable over moves of the root."""
        return self.source, self.path

    @property
    def locator(self) -> str:
        """Where the picture is, in one printable line for people."""
        if self.origin is None:
            return escape(f"{self.source}/{self.path}")
        return self.origin.kind.locate(self.origin.root, self.path)

    @property
    def is_vector(self) -> bool:
        """Whether it is a row of numbers and no picture."""
        return self.origin is not None and self.origin.kind.of_vectors

    def read(self, limit: int | None = None) -> bytes:
        """The picture's bytes, at most `limit` of them; None: as many as the guards here allow.

        Raises PictureError when this one picture cannot be read or is larger than that, SourceError when its whole
        source vanished or was rewritten.
        """
        if limit is None:
            limit = limits().bytes
        if self.size > limit:
            raise too_large(self.size, limit)
        with self._place() as origin:
            data = origin.kind.read(origin, self, limit)
        if len(data) > limit:
            raise too_large(len(data), limit)
        return data

    def head(self, size: int) -> bytes:
        """The first `size` bytes of the picture, all of them where no less can be read, none where it is no picture
        file; errors as of `read`."""
        with self._place() as origin:
            return self.read() if origin.kind.head is None else origin.kind.head(origin, self, size)

    @contextmanager
    def _place(self) -> Iterator[Origin]:
        """Where it is read from, as it was when it was listed. What the system says meanwhile is an error of this
        picture, or of its whole source where that is gone."""
        origin = self.origin
        if origin is None:
            raise PictureError("its source is not known")
        origin.check()
        try:
            yield origin
        except OSError as error:
            if not os.path.exists(origin.root):
                raise unreachable(origin.root, error) from error
            if isinstance(error, FileNotFoundError):
                raise PictureError("the file is gone") from error
            raise PictureError(f"the file cannot be read ({error.strerror or error})") from error


def storable(mtime_ns: int) -> int:
    """A file's time as 64 bits hold it; one beyond the year 2262, which disks and archives can name, is none (0)."""
    return mtime_ns if -(2**63) <= mtime_ns < 2**63 else 0


def noun(vectors: bool) -> str:
    """What is spoken of, in one word."""
    return "vectors" if vectors else "pictures"


def _status(root: str) -> os.stat_result:
    try:
        return os.stat(root)
    except OSError as error:
        raise unreachable(root, error) from error


def unreachable(root: str, error: OSError) -> SourceError:
    """The error of a source that was there: it is gone, or the system does not let it be read."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return SourceError(
            f"The source {escape(root)} vanished while it was read: bring it back, then run again."
        )
    return SourceError(f"The source {escape(root)} cannot be read ({error.strerror or error}): check it.")

"""One picture of a source: who it is, and how any process reads its bytes."""

# Plain strings: a walk touches a hundred thousand paths, and Path objects would double its time.
# ruff: noqa: PTH100, PTH112, PTH116, PTH118

from __future__ import annotations

import os
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal

from sightbook.errors import PictureError, SourceError
from sightbook.images.label import Label
from sightbook.images.names import shown, to_native
from sightbook.images.pixels.content import open_waiting_for_nobody, read_handle
from sightbook.images.pixels.guards import limits, too_large

Kind = Literal["folder", "tar", "parquet", "cifar", "vectors"]


class EmptySource(SourceError):
    """A source in which there is nothing to take; among others it is left out with a word."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a source lies just now; shared by its entries, so that it is pickled once for many.

    `size` and `mtime_ns` are those of the archive when it was listed (0 for a folder): places inside a tar or Parquet
    file that was rewritten since are worthless.
    """

    kind: Kind
    root: str
    size: int = 0
    mtime_ns: int = 0

    @staticmethod
    def now(kind: Kind, root: str) -> Origin:
        """The origin with the archive's present size and time; raises SourceError when it is gone."""
        if kind == "folder":
            return Origin(kind, root)
        status = _status(root)
        return Origin(kind, root, status.st_size, storable(status.st_mtime_ns))

    def check(self) -> None:
        """Raises SourceError when the archive vanished or was rewritten since it was listed."""
        status = _status(self.root)
        if (status.st_size, storable(status.st_mtime_ns)) != (self.size, self.mtime_ns):
            raise SourceError(f"The source {shown(self.root)} changed while it was read: run again.")


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
            return shown(f"{self.source}/{self.path}")
        return locate(self.origin.kind, self.origin.root, self.path)

    def read(self, limit: int | None = None) -> bytes:
        """The picture's bytes, at most `limit` of them.

        Raises PictureError when this one picture cannot be read or is larger than `limit`, SourceError when its whole
        source vanished or was rewritten.
        """
        if self.origin is None:
            raise PictureError("its source is not known")
        if limit is not None and self.size > limit:
            raise too_large(self.size, limit)
        if self.origin.kind == "folder":
            return _read_file(self.origin.root, self.path, limit)
        self.origin.check()
        if self.origin.kind == "tar":
            from sightbook.images.kinds.tar import read_member

            return read_member(self.origin, self.path, self.offset, self.size, limit)
        if self.origin.kind == "cifar":
            from sightbook.images.kinds.cifar import read_record

            return read_record(self.origin, self.path)
        if self.origin.kind == "vectors":
            from sightbook.images.vectors import read_row as read_vector

            return read_vector(self.origin, int(self.path))
        from sightbook.images.kinds.parquet import read_row

        data = read_row(self.origin, int(self.path))
        if limit is not None and len(data) > limit:
            raise too_large(len(data), limit)
        return data

    def head(self, size: int) -> bytes:
        """The first `size` bytes of the picture, all of them where no less can be read; errors as of `read`."""
        if self.origin is None or self.origin.kind not in ("folder", "tar"):
            return self.read(limits().bytes)
        if self.origin.kind == "folder":
            path, start, end = os.path.join(self.origin.root, to_native(self.path)), 0, size
        else:
            self.origin.check()
            path, start, end = self.origin.root, self.offset or 0, min(size, self.size)
        try:
            with open(path, "rb", buffering=0, opener=open_waiting_for_nobody) as file:
                file.seek(start)
                return file.read(end)
        except OSError as error:
            raise PictureError(f"the file cannot be read ({error.strerror})") from error


def storable(mtime_ns: int) -> int:
    """A file's time as 64 bits hold it; one beyond the year 2262, which disks and archives can name, is none (0)."""
    return mtime_ns if -(2**63) <= mtime_ns < 2**63 else 0


def noun(vectors: bool) -> str:
    """What is spoken of, in one word."""
    return "vectors" if vectors else "pictures"


def locate(kind: Kind, root: str, path: str) -> str:
    """A printable line that tells people where a picture is."""
    if kind == "folder":
        return shown(os.path.join(root, path))
    return shown(f"{root}:{path}" if kind == "tar" else f"{root} row {path}")


def address(kind: Kind, root: str, path: str) -> str:
    """The `file:` address of a picture's file, or of the archive that it is in."""
    from pathlib import Path

    file = os.path.join(root, to_native(path)) if kind == "folder" else root
    return Path(os.path.abspath(file)).as_uri()


def read_stored(kind: Kind, root: str, path: str, digest: bytes | None = None) -> bytes:
    """The bytes of a picture known by its key alone, e.g. to show a search result, within the guards.

    digest: BLAKE2b-128 of the content it had, when that is what is asked for. Raises PictureError when it is not there
    any more, is larger than the guards or is another content, SourceError when its source is gone.
    """
    limit = None if kind == "vectors" else limits().bytes
    data = Entry("", path, 0, 0, None, Origin.now(kind, root)).read(limit)
    if digest is not None and blake2b(data, digest_size=16).digest() != digest:
        raise PictureError(
            f"{locate(kind, root, path)} is not what it was when it was added: run `sightbook add` with its source"
        )
    return data


def _read_file(root: str, path: str, limit: int | None) -> bytes:
    try:
        # A pipe that took the file's place must not be waited for.
        with open(
            os.path.join(root, to_native(path)), "rb", buffering=0, opener=open_waiting_for_nobody
        ) as file:
            return read_handle(file, limit)
    except OSError as error:
        if not os.path.isdir(root):
            raise vanished(root) from error
        if isinstance(error, FileNotFoundError):
            raise PictureError("the file is gone") from error
        raise PictureError(f"the file cannot be read ({error.strerror})") from error


def _status(root: str) -> os.stat_result:
    try:
        return os.stat(root)
    except OSError as error:
        raise vanished(root) from error


def vanished(root: str) -> SourceError:
    """The error of a source that was there and is not any more."""
    return SourceError(f"The source {shown(root)} vanished while it was read: bring it back, then run again.")

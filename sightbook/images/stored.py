"""A picture known by its key alone: where it is, and its bytes."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

from sightbook.errors import PictureError, SourceError
from sightbook.images.entry import Entry, Origin
from sightbook.images.kinds.registry import kind_of
from sightbook.images.names import escape


def locate(kind: str, root: str, path: str) -> str:
    """A printable line that tells people where a picture is, of a kind that is not known here, too."""
    try:
        return kind_of(kind).locate(root, path)
    except SourceError:
        return escape(f"{root} row {path}")


def address(kind: str, root: str, path: str) -> str:
    """The `file:` address of a picture's file, or of the archive that it is in, as is that of a kind not known here."""
    try:
        return kind_of(kind).address(root, path)
    except SourceError:
        return Path(root).absolute().as_uri()


def read_stored(kind: str, root: str, path: str, digest: bytes | None = None) -> bytes:
    """The bytes of a picture known by its key alone, e.g. to show a search result, within the guards.

    digest: BLAKE2b-128 of the content it had, when that is what is asked for. Raises PictureError when it is not there
    any more, is larger than the guards or is another content, SourceError when its source is gone.
    """
    known = kind_of(kind)
    data = Entry("", path, 0, 0, None, Origin.now(known, root)).read()
    if digest is not None and blake2b(data, digest_size=16).digest() != digest:
        raise PictureError(
            f"{known.locate(root, path)} is not what it was when it was added: run `sightbook add` with its source"
        )
    return data

"""One answer: a plain value, ready for JSON by `dataclasses.asdict`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hit:
    """One result. `score` is at most 1, which the query's own picture has, 0 for the average picture of the library and
    below 0 for one that is less alike (`codes.scale`); raw is the sum it is made of, of fine codes, too, where they are
    searched by.

    rank counts from 1; query is the position of the query picture it answers; (source, path) is the picture's key;
    locator names it for people; kind and root say what the source is and where it stood when it was last added;
    digest (hex of BLAKE2b-128) is that of the picture's bytes then.
    """

    rank: int
    id: int
    score: float
    raw: float
    query: int
    source: str
    path: str
    locator: str
    kind: str
    root: str
    digest: str = ""

    @property
    def uri(self) -> str:
        """Where the picture is, for any program: the file as a `file:` address, in which bytes of its name that are not
        UTF-8 stand as %XX; of a picture in an archive the archive's."""
        from sightbook.images.stored import address

        return address(self.kind, self.root, self.path)

    def read(self) -> bytes:
        """The picture's bytes from its source; SourceError or PictureError when they are not there any more, or are not
        those that the answer speaks of."""
        from sightbook.images.stored import read_stored

        return read_stored(self.kind, self.root, self.path, bytes.fromhex(self.digest) or None)

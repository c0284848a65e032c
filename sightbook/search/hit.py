"""One answer: a plain value, ready for JSON by `dataclasses.asdict`; and answers made of what an engine found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sightbook.images.stored import address, locate, read_stored

if TYPE_CHECKING:
    from sightbook.catalogue.rows import KeyRow
    from sightbook.search.view import Answers


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
        return address(self.kind, self.root, self.path)

    def read(self) -> bytes:
        """The picture's bytes from its source; SourceError or PictureError when they are not there any more, or are not
        those that the answer speaks of."""
        return read_stored(self.kind, self.root, self.path, bytes.fromhex(self.digest) or None)


def hits_of(found: Answers, keys: Mapping[int, KeyRow]) -> list[list[Hit]]:
    """The hits of each question; what has no key any more is left out."""
    hits: list[list[Hit]] = []
    for query, answers in enumerate(zip(*(part.tolist() for part in found), strict=True)):
        hits.append([])
        for rank, (id, raw, score) in enumerate(zip(*answers, strict=True), start=1):
            if id in keys:
                source, path, kind, root, digest = keys[id]
                where = locate(kind, root, path)
                hits[-1].append(
                    Hit(rank, id, score, raw, query, source, path, where, kind, root, digest.hex())
                )
    return hits

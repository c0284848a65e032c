"""What a library knows of one picture, and the id of the picture at a path."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sightbook.catalogue.catalogue import Catalogue
from sightbook.catalogue.ids import id_of
from sightbook.errors import LibraryError
from sightbook.images.stored import locate
from sightbook.library.selection import Wanted, parse, select


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """One picture. (source, path) is its key; locator names it for people; size: bytes of its file; the rest as
    `images.pixels.about.About` has it, None where it does not tell or was read by an older program. metadata: what was
    said of it."""

    id: int
    source: str
    path: str
    locator: str
    size: int
    width: int
    height: int
    format: str | None
    taken: str | None
    camera: str | None
    orientation: int | None
    latitude: float | None
    longitude: float | None
    metadata: dict[str, str | int | float]

    @property
    def key(self) -> tuple[str, str]:
        """(source, path)."""
        return self.source, self.path


def get(catalogue: Catalogue, library: Path, id: int) -> PictureFacts:
    """What is known of the picture with this id. LibraryError when there is none."""
    number = id_of(id, "id")

    def read() -> PictureFacts:
        key = catalogue.keys([number]).get(number)
        if key is None:
            raise LibraryError(
                f"{library} holds no picture with the id {number}: take ids from a search, such as `Hit.id`"
            )
        size, about = catalogue.about([number])[number]
        locator = locate(key.kind, key.root, key.path)
        return PictureFacts(
            number,
            key.source,
            key.path,
            locator,
            size,
            **about._asdict(),
            metadata=catalogue.metadata(number),
        )

    return catalogue.steadily(read)


def id_at(catalogue: Catalogue, library: Path, path: Wanted | os.PathLike[str]) -> int:
    """The id of the one picture that is named as `Library.remove` takes it. LibraryError when it is none, or more."""
    asked = parse(path)
    ids, _, sources = catalogue.steadily(lambda: select(catalogue, library, asked))
    if len(ids) != 1 or sources:
        many = "a source" if sources else f"{len(ids):,} pictures" if ids else "a file that could not be read"
        raise LibraryError(
            f"{path!r} is {many} in {library}: give the path of one picture, as a search shows it"
        )
    return next(iter(ids))

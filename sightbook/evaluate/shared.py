"""Pictures that are both query and database: they would find themselves, and lift every figure."""

from __future__ import annotations

from collections.abc import Sequence

from sightbook.errors import ConfigError, PictureError
from sightbook.evaluate.split import LabelledPicture, Split
from sightbook.images.load.pool import digest
from sightbook.words import counted, verb


def refuse_shared(split: Split) -> None:
    """Raises ConfigError when the very bytes of a query are also in the database.

    Files of different sizes cannot be equal: only those of one size are read, so that this is known before the long
    work begins.
    """
    both = {p.entry.size for p in split.queries} & {p.entry.size for p in split.database}
    queries, database = (_by_content(part, both) for part in (split.queries, split.database))
    shared = sorted((queries[content], database[content]) for content in queries.keys() & database.keys())
    if shared:
        asking = f"{counted(len(shared), 'query picture')} {verb(len(shared), 'are')}"
        raise ConfigError(
            f"{asking} in the database as well, such as {shared[0][0]} (again {shared[0][1]}): "
            "remove the copies, or the figure would count pictures that find themselves"
        )


def _by_content(pictures: Sequence[LabelledPicture], sizes: set[int]) -> dict[bytes, str]:
    """Digest → where the picture is, for the pictures of these file sizes."""
    found = {}
    for picture in pictures:
        if picture.entry.size in sizes:
            try:
                found[digest(picture.entry.read())] = picture.entry.locator
            except PictureError:
                continue  # the reading names it, with its reason
    return found

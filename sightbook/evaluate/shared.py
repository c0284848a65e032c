"""What pictures hold, byte for byte; and pictures that are both query and database: they would find themselves, and
lift every figure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

import numpy as np

from sightbook.errors import ConfigError, PictureError
from sightbook.evaluate.split import LabelledPicture, Split
from sightbook.images.load.pool import digest
from sightbook.images.vectors import read_many, stored
from sightbook.words import counted, verb

_AT_ONCE = 1024  # vectors


def digests(pictures: Iterable[LabelledPicture]) -> Iterator[tuple[LabelledPicture, bytes | None]]:
    """Each picture or vector with the digest of its content, None where it cannot be read; in their order."""
    for vectors, some in groupby(pictures, key=lambda each: each.entry.is_vector):
        if not vectors:
            for each in some:
                try:
                    yield each, digest(each.entry.read())
                except PictureError:
                    yield each, None
            continue
        rows = list(some)
        read = (row for _, batch in read_many([each.entry for each in rows], _AT_ONCE) for row in batch)
        for each, row in zip(rows, read, strict=True):
            yield each, digest(stored(row)) if not isinstance(row, str) and np.isfinite(row).all() else None


def refuse_shared(split: Split) -> None:
    """Raises ConfigError when the very bytes of a query are also in the database.

    Files of different sizes cannot be equal: only those of one size are read, so that this is known before the long
    work begins. What cannot be read is named later, with its reason.
    """
    sizes = {each.entry.size for each in split.queries} & {each.entry.size for each in split.database}
    asked, searched = (
        [
            (content, each.entry)
            for each, content in digests(each for each in part if each.entry.size in sizes)
            if content
        ]
        for part in (split.queries, split.database)
    )
    there = dict(searched)
    shared = sorted((entry.locator, there[content].locator) for content, entry in asked if content in there)
    if shared:
        asking = f"{counted(len(shared), 'query picture')} {verb(len(shared), 'are')}"
        raise ConfigError(
            f"{asking} in the database as well, such as {shared[0][0]} (again {shared[0][1]}): "
            "remove the copies, or the figure would count pictures that find themselves"
        )

"""Query pictures as users hand them over → pixels for the encoder.

Queries that cannot be read are named together, by their numbers: the answers of the others would be lost without saying
which to leave out.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sightbook.errors import PictureError
from sightbook.images.names import escape, existing
from sightbook.images.pixels.picture import Picture
from sightbook.model.model import Model

_NAMED = 3  # queries whose reasons are told, where several cannot be read


def stack(queries: Sequence[Picture], model: Model) -> NDArray[np.uint8]:
    """Query pictures → (Q, S, S, 3) uint8. PictureError names all that cannot be read, by number and reason;
    `error.queries` has the numbers."""
    found: list[NDArray[np.uint8]] = []
    bad: dict[int, PictureError] = {}
    for number, query in enumerate(queries):
        try:
            found.append(model.prepare(query))
        except PictureError as error:
            bad[number] = error
    if not bad:
        return np.stack(found)
    if len(queries) == 1:
        bad[0].queries = (0,)
        if path := _path(queries[0]):
            bad[0].add_note(f"query picture: {path}")
        raise bad[0]
    reasons = []
    for number, why in bad.items():
        path = _path(queries[number])
        reasons.append(f"query {number}{path and f' ({path})'}: {why}")
    more = f"; and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
    raise PictureError(
        f"{len(bad)} of {len(queries)} query pictures, numbered from 0, cannot be read: "
        f"{'; '.join(reasons[:_NAMED])}{more}"
        "; search again without them",
        queries=tuple(bad),
    )


def _path(query: Picture) -> str:
    """A query's path in one printable line; "" where it is none."""
    return escape(os.fsdecode(query)) if isinstance(query, str | os.PathLike) else ""


def at_hand(query: Picture) -> Picture:
    """A query's path as its file is really called (see `images.names.existing`); anything else as it is."""
    if isinstance(query, str | os.PathLike):
        return existing(os.fsdecode(query)) or query
    return query

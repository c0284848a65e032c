"""Query pictures as users hand them over → embeddings.

Data flow: `images.pixels.picture.split` (one or several, in their order) → `embed`. Queries that cannot be read are
named together, by their numbers: the answers of the others would be lost without saying which to leave out.
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

_AT_ONCE = 256  # queries whose pixels are held
_NAMED = 3  # queries whose reasons are told, where several cannot be read


def embed(queries: Sequence[Picture], model: Model) -> NDArray[np.float32]:
    """Query pictures → embeddings (Q, D), some at a time: their pixels take a thousand times the room. PictureError
    names all that cannot be read, by number and reason; `error.queries` has the numbers."""
    found: list[NDArray[np.float32]] = []
    bad: dict[int, PictureError] = {}
    for start in range(0, len(queries), _AT_ONCE):
        pixels: list[NDArray[np.uint8]] = []
        for number, query in enumerate(queries[start : start + _AT_ONCE], start):
            try:
                pixels.append(model.prepare(query))
            except PictureError as error:
                bad[number] = error
        if not bad:
            found.append(model.embed(np.stack(pixels)))
    if not bad:
        return np.concatenate(found)
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

"""Query pictures as users hand them over → embeddings.

Data flow: `split` (one or several, in their order) → `embed` → `pixels` of each. Queries that cannot be read are
named together, by their numbers: the answers of the others would be lost without saying which to leave out.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightbook.arguments import described, path_like
from sightbook.errors import ConfigError, PictureError
from sightbook.images.names import existing
from sightbook.images.pixels.picture import Picture
from sightbook.model.model import Model

_AT_ONCE = 256  # queries whose pixels are held
_NAMED = 3  # queries whose reasons are told, where several cannot be read
_ASKED = "give a path, the bytes of a picture file, a Pillow image or an RGB array (H, W, 3) uint8"


def split(images: Picture | Sequence[Picture]) -> list[Picture]:
    """The query pictures of one search: a list, a tuple, a generator is several, an array (Q, H, W, 3) or of paths too.

    ConfigError for a set: answers tell their queries apart by number, and a set has no order.
    """
    if isinstance(images, set | frozenset):
        raise ConfigError("the queries are a set, which has no order to number them by: give a list")
    if isinstance(images, np.ndarray):
        several = images.ndim == 4 or (images.ndim == 1 and images.dtype.kind in "UO")
        return list(images) if several else [images]
    one = (
        isinstance(images, str | bytes | bytearray | memoryview | os.PathLike | Mapping)
        or hasattr(images, "read")
        or hasattr(images, "getexif")
        or hasattr(images, "__array__")
    )
    return list(images) if isinstance(images, Iterable) and not one else [images]


def embed(queries: Sequence[Picture], model: Model) -> NDArray[np.float32]:
    """Query pictures → embeddings (Q, D), some at a time: their pixels take a thousand times the room. PictureError
    names all that cannot be read, by number and reason; `error.queries` has the numbers."""
    found: list[NDArray[np.float32]] = []
    bad: dict[int, PictureError] = {}
    for start in range(0, len(queries), _AT_ONCE):
        pixels: list[NDArray[np.uint8]] = []
        for number, query in enumerate(queries[start : start + _AT_ONCE], start):
            try:
                pixels.append(_pixels(query, model))
            except PictureError as error:
                bad[number] = error
        if not bad:
            found.append(model.embed(np.stack(pixels)))
    if not bad:
        return np.concatenate(found)
    if len(queries) == 1:
        bad[0].queries = (0,)
        raise bad[0]
    reasons = [f"query {number}{_name(queries[number])}: {error}" for number, error in bad.items()]
    more = f"; and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
    raise PictureError(
        f"{len(bad)} of {len(queries)} query pictures, numbered from 0, cannot be read: "
        f"{'; '.join(reasons[:_NAMED])}{more}"
        "; search again without them",
        queries=tuple(bad),
    )


def _name(query: Picture) -> str:
    return f" ({os.fspath(query)})" if isinstance(query, str | os.PathLike) else ""


def _pixels(asked: Picture, model: Model) -> NDArray[np.uint8]:
    """`pixels` of anything; what is no picture, and whatever somebody's Pillow image or file lets out, is a
    PictureError."""
    query: Any = asked
    if isinstance(query, Mapping):
        data, path = query.get("bytes"), query.get("path")
        query = path if data is None and path is not None else data
    try:
        if isinstance(query, str | os.PathLike):
            path_like(query, "the query picture")
        elif hasattr(query, "read"):
            query = None if isinstance(query, io.TextIOBase) else query.read()
            if not isinstance(query, bytes):
                raise PictureError("the file was opened as text: open it with mode 'rb'")
        elif query is None or not (
            isinstance(query, bytes | bytearray | memoryview)
            or hasattr(query, "getexif")
            or hasattr(query, "__array__")
        ):
            raise PictureError(f"it is {described(query)}, and no picture: {_ASKED}")
        return pixels(query, model)
    except ConfigError as error:
        raise PictureError(str(error)) from None
    except (
        OSError,
        ValueError,
        SyntaxError,
        MemoryError,
        TypeError,
    ) as error:  # of a lazy, closed or cut picture
        raise PictureError(
            f"it cannot be decoded ({str(error).rstrip('.') or type(error).__name__})"
        ) from error


def at_hand(query: Picture) -> Picture:
    """A query's path as its file is really called (see `images.names.existing`); anything else as it is."""
    if isinstance(query, str | os.PathLike):
        return existing(os.fsdecode(query)) or query
    return query


def pixels(picture: Picture, model: Model) -> NDArray[np.uint8]:
    """One query picture → (S, S, 3) uint8. Raises PictureError when it cannot be read or is no picture."""
    try:
        return model.prepare(picture)
    except PictureError as error:
        if isinstance(picture, str | os.PathLike):
            error.add_note(f"query picture: {os.fspath(picture)}")
        raise

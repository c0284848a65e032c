"""Whether pictures of two sources have the same content, by a sample of them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from sightbook.catalogue.catalogue import Catalogue
from sightbook.catalogue.rows import Known
from sightbook.errors import PictureError, SourceError
from sightbook.images.entry import Entry
from sightbook.images.load.pool import digest

_SAMPLE = 64  # pictures whose content is compared before a source is taken for another one that has gone
_EQUAL = 0.9  # of the sample: some may have been changed on the way


def is_equal(catalogue: Catalogue, theirs: Mapping[str, Known], pairs: Sequence[tuple[str, Entry]]) -> bool:
    """Whether a sample of the entries has the content that the pictures at these paths had."""
    chosen = pairs[:: max(1, len(pairs) // _SAMPLE)]
    ids = {path: id for path, _ in chosen if (id := theirs[path].id) is not None}
    digests = catalogue.digests(list(ids.values()))
    equal = 0
    for path, entry in chosen:
        with contextlib.suppress(PictureError, SourceError):
            equal += path in ids and digests[ids[path]] == digest(entry.read())
    return equal > 0 and equal >= _EQUAL * len(chosen)


def has_same_content(
    catalogue: Catalogue, ours: Mapping[str, Known], theirs: Mapping[str, Known], prefix: str
) -> bool:
    """Whether the pictures that are known at the same paths, theirs under `prefix`, had the same content."""
    pairs = [
        (row.id, mine.id)
        for path, row in theirs.items()
        if row.id is not None and (mine := ours.get(prefix + path)) is not None and mine.id is not None
    ]
    digests = catalogue.digests([id for pair in pairs for id in pair])
    equal = sum(digests[one] == digests[other] for one, other in pairs)
    return equal > 0 and equal >= _EQUAL * len(pairs)

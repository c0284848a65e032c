"""Whether pictures were added that are far larger than what the library's model was made for."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from sightbook.catalogue import folder
from sightbook.catalogue.catalogue import Catalogue
from sightbook.errors import typed
from sightbook.model.config import ModelConfig

# A model that sees so few pixels was learned from thumbnails or tiny pictures; others are made for photos of any size.
_SMALL = 64
_TIMES = 4
_LOOKED_AT = 1000


def remark(catalogue: Catalogue, library: Path, added: int) -> str | None:
    """A sentence on the pictures added last, where most are four times larger than a small model sees, or more."""
    frame = ModelConfig.read(folder.model_of(library, catalogue.fingerprint)).frame
    if frame is None or frame.size > _SMALL:
        return None
    sides = catalogue.latest_sides(min(added, _LOOKED_AT))
    if not sides or median(sides) < _TIMES * frame.size:
        return None
    return (
        f"the library's model sees {frame.size} × {frame.size} pixels of a picture, and the shorter side of those just "
        f"added is {int(median(sides)):,} (median): it was made for small pictures; "
        f"`sightbook migrate {typed(library)} --learn` gives the library one that is made for photos"
    )

"""Whether a library keeps fine codes, decided when it is made: an int as in `Catalogue.fine`.

n > 0: fine codes of n bytes; 0: the model has them, but none are kept, as was asked for or because there are too many
pictures; None: the model has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightbook.errors import ModelError

if TYPE_CHECKING:
    from sightbook.catalogue.catalogue import Catalogue
    from sightbook.model.model import Model

# Pictures up to which fine codes are kept without being asked for: 256 MB at 256 bytes each.
UNASKED = 1_000_000


def at_making(model: Model, asked: bool | None) -> int | None:
    """For a new library; asked None: the default. ModelError when fine codes are asked for and the model has none."""
    if asked and not model.fine_bytes:
        raise ModelError(
            f"{model.folder} has no fine codes that a library could keep: leave --fine out, or give a described model"
        )
    return 0 if asked is False else model.fine_bytes or None


def at_migration(catalogue: Catalogue, model: Model) -> int | None:
    """For the library whose catalogue this is, with another model: what was declined once stays so."""
    if not model.fine_bytes:
        return 0 if catalogue.fine == 0 else None
    if catalogue.fine is None and sum(row.good for row in catalogue.counts().values()) > UNASKED:
        return 0
    return 0 if catalogue.fine == 0 else model.fine_bytes


def too_many(catalogue: Catalogue, planned: int) -> bool:
    """Whether the first pictures are too many for fine codes that nobody asked for."""
    return planned > UNASKED and catalogue.fine_by_default and not catalogue.ever_held

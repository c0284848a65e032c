"""Fine codes: the table `fine`, and whether a library keeps such, decided when it is made.

`Catalogue.fine` says it. n > 0: fine codes of n bytes; 0: the model has them, but none are kept, as was asked for or
because there are too many pictures; None: the model has none.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sightbook.catalogue import codes, meta, pictures
from sightbook.catalogue.database import transaction
from sightbook.catalogue.rows import GOOD, MISSING
from sightbook.catalogue.steady import steady
from sightbook.catalogue.versions import add_fine
from sightbook.errors import LibraryError, ModelError

if TYPE_CHECKING:
    from pathlib import Path

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


def refuse_other(path: Path, fine: int | None, asked: bool | None) -> None:
    """LibraryError when fine codes are asked for, or declined, and the library that is there does otherwise."""
    if asked is not None and asked != bool(fine):
        raise LibraryError(
            f"{path} was made {'with' if fine else 'without'} fine codes, which stays so: leave "
            f"{'--fine' if asked else '--no-fine'} out, or give another place for a new library"
        )


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


@steady
def fine_codes(catalogue: Catalogue) -> tuple[str, array[int], bytearray]:
    """`Catalogue.codes` of their fine codes. A picture that lacks its own, which only damage can do, is left out."""
    ids, (joined,) = codes.join(
        catalogue,
        "p.id",
        ("f.code",),
        f"FROM pictures p CROSS JOIN fine f ON f.id = p.id WHERE p.state = {GOOD}",
    )
    return catalogue.stamp, ids, joined


@steady
def fine_of(catalogue: Catalogue, ids: Sequence[int]) -> dict[int, bytes]:
    """Fine codes by id, where there are such."""
    return dict(pictures.by_ids(catalogue, "SELECT id, code FROM fine WHERE id IN ({})", ids))


@steady
def lacking_fine(catalogue: Catalogue) -> int:
    """Pictures that could be found and have no sound fine code, where such are kept."""
    width = catalogue.fine
    if not width:
        return 0
    (count,) = catalogue.connection.execute(
        f"SELECT count(*) FROM pictures p WHERE state = {GOOD} AND NOT EXISTS "
        f"(SELECT 1 FROM fine f WHERE f.id = p.id AND length(f.code) = {width})"
    ).fetchone()
    return int(count)


def keep_fine(catalogue: Catalogue, fine: int | None) -> None:
    """From now on keeps fine codes of so many bytes, empty at first; 0 or None: none (see `Catalogue.fine`). Inside the
    caller's transaction."""
    catalogue.connection.execute("DELETE FROM fine")
    meta.forget(catalogue, "fine")
    if fine is not None:
        meta.put(catalogue, "fine", fine)


def decline_fine(catalogue: Catalogue) -> None:
    """Keeps no fine codes after all, in a catalogue that never held a picture."""
    with transaction(catalogue.connection):
        keep_fine(catalogue, 0)
        meta.advance(catalogue)


def mend_fine(catalogue: Catalogue) -> tuple[int, int]:
    """Has the next `add` read every picture again that could be found without a sound fine code, and drops fine codes
    of no picture: how many of each. Until then such a picture is left out of searches."""
    width = catalogue.fine
    if not width:
        return 0, 0
    with transaction(catalogue.connection):
        add_fine(catalogue.connection)  # damage may have taken the whole table
        stray = catalogue.connection.execute(
            "DELETE FROM fine WHERE id NOT IN (SELECT id FROM pictures)"
        ).rowcount
        # One that no size or time fits is read again in any case, and not found before (migration.py).
        lacking = catalogue.connection.execute(
            "UPDATE pictures SET size = -1, mtime_ns = -1, "
            f"state = CASE WHEN state = {GOOD} THEN {MISSING} ELSE state END "
            f"WHERE (size != -1 OR state = {GOOD}) AND NOT EXISTS "
            f"(SELECT 1 FROM fine f WHERE f.id = pictures.id AND length(f.code) = {width})"
        ).rowcount
        if stray or lacking:
            meta.advance(catalogue)
    return lacking, stray

"""The table `metadata`: what users say of a picture, a value for each key. It goes with the picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sightbook.catalogue.database import transaction
from sightbook.catalogue.steady import steady
from sightbook.catalogue.versions import WITH_ABOUT
from sightbook.errors import ConfigError, LibraryError

if TYPE_CHECKING:
    from sightbook.catalogue.catalogue import Catalogue

Value = str | int | float


@steady
def metadata(catalogue: Catalogue, id: int) -> dict[str, Value]:
    """What is said of a picture, by key in their order; nothing in a catalogue of an older version."""
    if catalogue.format < WITH_ABOUT:
        return {}
    rows = catalogue.connection.execute(
        "SELECT key, value FROM metadata WHERE picture = ? ORDER BY key", (id,)
    )
    return dict(rows.fetchall())


def put_metadata(catalogue: Catalogue, id: int, key: str, value: Value) -> None:
    """Says `value` of a picture under `key`, in place of what was said there. ConfigError for what is neither text nor
    a finite number of 64 bits; LibraryError for an id that is not there."""
    if not key or "\0" in key:
        raise ConfigError(f"{key!r} is no key: give a text that is not empty, without null characters")
    if isinstance(value, bool) or not isinstance(value, Value) or not _fits(value):
        raise ConfigError(
            f"{key} is {value!r}: give a text without null characters, or a finite number of 64 bits"
        )
    with transaction(catalogue.connection):
        refuse_unknown(catalogue, id)
        catalogue.connection.execute("INSERT OR REPLACE INTO metadata VALUES (?, ?, ?)", (id, key, value))


def remove_metadata(catalogue: Catalogue, id: int, key: str) -> bool:
    """Says nothing under `key` any more; whether something was."""
    with transaction(catalogue.connection):
        gone = catalogue.connection.execute(
            "DELETE FROM metadata WHERE picture = ? AND key = ?", (id, key)
        ).rowcount
    return gone > 0


def refuse_unknown(catalogue: Catalogue, id: int) -> None:
    """LibraryError for an id that no picture has."""
    if catalogue.connection.execute("SELECT 1 FROM pictures WHERE id = ?", (id,)).fetchone() is None:
        raise LibraryError(f"no picture has the id {id}: take ids from a search, such as `Hit.id`")


def _fits(value: Value) -> bool:
    if isinstance(value, str):
        return "\0" not in value
    return abs(value) < 2**63 if isinstance(value, int) else math.isfinite(value)

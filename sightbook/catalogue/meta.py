"""Facts about a catalogue as a whole, and two about each source: the table `meta`, a row a fact.

Every transaction that changes what a search could answer calls `advance`.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from sightbook.catalogue.database import transaction
from sightbook.catalogue.steady import steady

if TYPE_CHECKING:
    from sightbook.catalogue.catalogue import Catalogue


def get(catalogue: Catalogue, key: str) -> object | None:
    """A fact; None where it is not told."""
    row = catalogue.connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else row[0]


def put(catalogue: Catalogue, key: str, value: object) -> None:
    """Tells a fact; inside the caller's transaction."""
    catalogue.connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))


def forget(catalogue: Catalogue, key: str) -> None:
    """Tells a fact no more; inside the caller's transaction."""
    catalogue.connection.execute("DELETE FROM meta WHERE key = ?", (key,))


def advance(catalogue: Catalogue) -> None:
    """Gives the state that is about to be committed a name of its own; inside the caller's transaction."""
    generation = int(str(get(catalogue, "generation") or 0)) + 1
    put(catalogue, "generation", generation)
    put(catalogue, "stamp", stamp_of(generation))


def stamp_of(generation: int) -> str:
    """A name for a state; the random part keeps restored copies apart."""
    return f"{generation}-{secrets.token_hex(8)}"


@steady
def decoding(catalogue: Catalogue, source: str) -> int:
    """The version of decoding (`images.pixels.versions`) that the codes of a source's pictures are of."""
    return int(str(get(catalogue, f"decoding {source}") or 1))


def put_decoding(catalogue: Catalogue, source: str, version: int) -> None:
    """Says which version of decoding the codes of a source's pictures are of."""
    with transaction(catalogue.connection):
        put(catalogue, f"decoding {source}", version)


@steady
def reader(catalogue: Catalogue, source: str) -> str | None:
    """Who read all of a source last (`passing.reader`); None: an older program, or nobody to the end."""
    found = get(catalogue, f"reader {source}")
    return None if found is None else str(found)


def put_reader(catalogue: Catalogue, source: str, reader: str) -> None:
    """Notes who has read all of a source."""
    with transaction(catalogue.connection):
        put(catalogue, f"reader {source}", reader)


@steady
def model_name(catalogue: Catalogue, fingerprint: str) -> str | None:
    """What the model of this fingerprint was called when it was given; None where it was not told."""
    found = get(catalogue, f"model {fingerprint}")
    return None if found is None else str(found)


def name_model(catalogue: Catalogue, fingerprint: str, name: str) -> None:
    """Notes what a model is called."""
    with transaction(catalogue.connection):
        put(catalogue, f"model {fingerprint}", name)

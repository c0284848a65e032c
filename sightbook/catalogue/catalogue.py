"""The truth of a library: sources, pictures with their codes, failures, in one SQLite file.

A picture's key is (source, path); its id is given once and never again. `state` says whether a picture takes part in
searches. Every transaction that changes what a search could answer gives the catalogue a new `stamp`, so whatever was
derived from it (the engine's snapshot) knows whether it is stale. All methods raise sqlite3.Error as it comes;
`database.explained` turns it into sentences.

Each table has a file of its own with what is asked of it and written to it, as functions of a catalogue; those that
others need are listed here and are methods by that. `versions.py` lays the tables out.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sightbook.catalogue import batches, meta, pictures, versions
from sightbook.catalogue import codes as joined
from sightbook.catalogue import descriptions as described
from sightbook.catalogue import failures as failing
from sightbook.catalogue import fine as fines
from sightbook.catalogue import metadata as sayings
from sightbook.catalogue import sources as places
from sightbook.catalogue.database import connect_writer, transaction
from sightbook.catalogue.reader import Reader
from sightbook.catalogue.steady import steady

NAME = "catalogue.sqlite"

_T = TypeVar("_T")


class Catalogue:
    """An open catalogue. Reading methods see one committed state each; writing methods are one transaction each."""

    def __init__(self, opened: sqlite3.Connection | Reader) -> None:
        self._opened = opened

    @classmethod
    def create(
        cls, path: Path, fingerprint: str, fine: int | None = None, *, asked: bool = False
    ) -> Catalogue:
        """Opens `path` for writing, laying out the tables when it has none yet; `fine` as in `fine.keep_fine`, asked:
        by the user."""
        catalogue = cls(connect_writer(path))
        if versions.version_of(catalogue.connection) == 0:
            with transaction(catalogue.connection):
                for _ in versions.STEPS:
                    versions.step(catalogue.connection)
                meta.put(catalogue, "fingerprint", fingerprint)
                meta.put(catalogue, "generation", 0)
                meta.put(catalogue, "stamp", meta.stamp_of(0))
                fines.keep_fine(catalogue, fine)
                if asked:
                    meta.put(catalogue, "fine asked", 1)
        return catalogue

    @classmethod
    def write(cls, path: Path) -> Catalogue:
        """Opens an existing catalogue for writing and brings it to today's version. LibraryError for a newer one."""
        connection = connect_writer(path)
        try:
            versions.bring_up(connection, path.parent)
        except BaseException:
            connection.close()
            raise
        return cls(connection)

    @classmethod
    def read(cls, path: Path) -> Catalogue:
        """Opens an existing catalogue for reading."""
        return cls(Reader(path))

    def close(self) -> None:
        self._opened.close()

    @property
    def connection(self) -> sqlite3.Connection:
        """For statements, inside `catalogue/`."""
        return self._opened.connection if isinstance(self._opened, Reader) else self._opened

    def steadily(self, read: Callable[[], _T]) -> _T:
        """What `read` gives; all that it reads is of one committed state, whatever a writer does meanwhile. It may be
        called again: see `Reader.steadily`."""
        if isinstance(self._opened, Reader):
            return self._opened.steadily(read)
        if self._opened.in_transaction:
            return read()
        self._opened.execute("BEGIN")
        try:
            return read()
        finally:
            self._opened.execute("COMMIT")

    def stand_still(self) -> None:
        """Whatever is read until it is closed is of the state that is committed now, as long as it `stands`."""
        self.connection.execute("BEGIN")

    def stands(self) -> bool:
        """Whether what was read inside `steadily` so far, or since `stand_still`, is of one committed state."""
        return not isinstance(self._opened, Reader) or self._opened.stands()

    # The whole

    @property
    @steady
    def format(self) -> int:
        """Version of the tables; 0 when they were never laid out."""
        return versions.version_of(self.connection)

    @property
    @steady
    def fingerprint(self) -> str:
        """Fingerprint of the model all codes come from."""
        return str(meta.get(self, "fingerprint"))

    @property
    @steady
    def fine(self) -> int | None:
        """Bytes of each picture's fine code; 0: none are kept, as was asked for; None: the model has none."""
        found = meta.get(self, "fine")
        return None if found is None else int(str(found))

    @property
    @steady
    def fine_by_default(self) -> bool:
        """Whether fine codes are kept though nobody asked for them."""
        return bool(self.fine) and meta.get(self, "fine asked") is None

    @property
    @steady
    def ever_held(self) -> bool:
        """Whether an id was ever given."""
        given = self.connection.execute("SELECT 1 FROM sqlite_sequence WHERE name = 'pictures'")
        return given.fetchone() is not None

    @property
    @steady
    def stamp(self) -> str:
        """Names the committed state: generation counter and a random part, so that restored copies never mix."""
        return str(meta.get(self, "stamp"))

    decoding = meta.decoding
    put_decoding = meta.put_decoding
    reader = meta.reader
    put_reader = meta.put_reader

    # Sources, and what could not be read of them

    sources = places.sources
    put_source = places.put_source
    counts = places.counts
    failures = failing.failures

    # Pictures

    known = pictures.known
    digests = pictures.digests
    missing = pictures.missing
    rows = pictures.rows
    page = pictures.page
    keys = pictures.keys
    about = pictures.about
    find = pictures.find
    latest_sides = pictures.latest_sides
    match = pictures.match
    roots_with = pictures.roots_with
    put = batches.put
    settle = batches.settle
    take_over = batches.take_over
    remove = batches.remove
    metadata = sayings.metadata
    put_metadata = sayings.put_metadata
    remove_metadata = sayings.remove_metadata

    # Codes

    codes = joined.codes
    codes_and_digests = joined.codes_and_digests
    fine_codes = fines.fine_codes
    fine_of = fines.fine_of
    lacking_fine = fines.lacking_fine
    decline_fine = fines.decline_fine
    mend_fine = fines.mend_fine
    descriptions = described.descriptions
    put_descriptions = described.put_descriptions
    remove_descriptions = described.remove_descriptions

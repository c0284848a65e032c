"""The search engine over a catalogue's present state, built anew when the catalogue has moved on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sightbook.allocator import give_back_freed_memory
from sightbook.library.catalogue import Catalogue
from sightbook.library.database import explained
from sightbook.library.folder import Facts

if TYPE_CHECKING:
    from sightbook.codes.engine import Engine
    from sightbook.codes.staged import Staged


class Migrated(Exception):
    """The catalogue has the codes of another model by now."""


class Engines:
    """Keeps the engine that was asked for last. The caller sees to it that one thread at a time asks."""

    def __init__(self, library: Path, facts: Facts, catalogue: Catalogue) -> None:
        self._library, self._facts, self._catalogue = library, facts, catalogue
        self._kept: tuple[str, int, Engine | Staged] | None = None

    def _check(self) -> None:
        if self._catalogue.fingerprint != self._facts.fingerprint:
            raise Migrated

    def current(self, first: int) -> Engine | Staged:
        """An engine that scans the first `first` codebooks; all M of them: the exact one."""
        from sightbook.codes.engine import Engine
        from sightbook.codes.staged import Staged
        from sightbook.library.snapshot import load

        facts = self._facts
        with explained(self._library):
            self._check()
            stamp = self._catalogue.stamp
            if self._kept is None or self._kept[:2] != (stamp, first):
                # While a writer is at work each batch is a new state: the cache is written once, not at each of them.
                opening = self._kept is None
                try:
                    found = load(self._catalogue, self._library / "cache", facts.code_bytes, save=opening)
                finally:
                    self._check()  # codes of another length are no damage then
                if first == facts.M:
                    engine: Engine | Staged = Engine(found.packed, facts.M, facts.K, found.ids)
                else:
                    engine = Staged(found.packed, facts.M, facts.K, first, found.ids)
                self._kept = (found.stamp, first, engine)
                del found
                give_back_freed_memory()
            return self._kept[2]

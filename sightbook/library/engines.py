"""The search engine over a catalogue's present state, built anew when the catalogue has moved on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sightbook.allocator import give_back_freed_memory
from sightbook.library.catalogue import Catalogue
from sightbook.library.database import explained
from sightbook.library.folder import Facts

if TYPE_CHECKING:
    import numpy as np

    from sightbook.codes.engine import Engine
    from sightbook.codes.fine import Fine
    from sightbook.codes.scale import Scale
    from sightbook.codes.staged import Staged
    from sightbook.library.snapshot import Snapshot


class Migrated(Exception):
    """The catalogue has the codes of another model by now."""


class Engines:
    """Keeps the engine that was asked for last. The caller sees to it that one thread at a time asks."""

    def __init__(self, library: Path, facts: Facts, catalogue: Catalogue) -> None:
        self._library, self._facts, self._catalogue = library, facts, catalogue
        self._kept: tuple[str, int, bool, Engine | Staged, Fine | None, Scale] | None = None
        self._last: Snapshot | None = None  # without its codes, for the fine codes of the next state

    def _check(self) -> None:
        if self._catalogue.fingerprint != self._facts.fingerprint:
            raise Migrated

    def current(self, first: int, gain: np.float32 | None = None) -> tuple[Engine | Staged | Fine, Scale]:
        """An engine that scans the first `first` codebooks; all M of them: the exact one. And the scale of its scores.

        gain: what fine codes weigh; the engine then goes by them, too, where the library keeps them.
        """
        from sightbook.codes.engine import Engine
        from sightbook.codes.fine import Fine
        from sightbook.codes.scale import Scale
        from sightbook.codes.staged import Staged
        from sightbook.library.snapshot import load

        facts = self._facts
        with explained(self._library):
            self._check()
            stamp, kept = self._catalogue.stamp, self._kept
            finely = gain is not None
            if kept is None or kept[:2] != (stamp, first) or (finely and not kept[2]):
                # While a writer is at work each batch is a new state: the cache is written once, not at each of them.
                opening = kept is None or (finely and not kept[2])
                try:
                    found = load(
                        self._catalogue, self._library / "cache", facts.code_bytes,
                        save=opening, fine=finely, last=self._last,
                    )  # fmt: skip
                finally:
                    self._check()  # codes of another length are no damage then
                if first == facts.M:
                    engine: Engine | Staged = Engine(found.packed, facts.M, facts.K, found.ids)
                else:
                    engine = Staged(found.packed, facts.M, facts.K, first, found.ids)
                fine = None if gain is None or found.fine is None else Fine(engine, found.fine, gain)
                scale = Scale.of(found.packed, facts.M, facts.K, found.fine)
                kept = self._kept = (found.stamp, first, finely, engine, fine, scale)
                if found.digests is not None:
                    self._last = replace(found, packed=found.packed[:0].copy())
                del found
                give_back_freed_memory()
            return (kept[4] if finely and kept[4] is not None else kept[3]), kept[5]

"""The search engine over a catalogue's present state, built anew beside the old one when the catalogue has moved on.

A search never waits for codes that somebody adds meanwhile: in a library of more than some thousands it is answered
from the state there was, while one thread reads the new one over a connection of its own; then the engines are swapped.
Waited for are the first engine, another kind of it, codes of another model, and what this program itself wrote.
"""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sightbook.allocator import give_back_freed_memory
from sightbook.catalogue.catalogue import NAME, Catalogue
from sightbook.catalogue.database import explained
from sightbook.catalogue.folder import Facts

if TYPE_CHECKING:
    import numpy as np

    from sightbook.catalogue.snapshot import Snapshot
    from sightbook.codes.engine import Engine, Staged
    from sightbook.codes.fine import Fine
    from sightbook.codes.scale import Scale

# Pictures of which an engine is built so quickly (some ms) that the newest state is always waited for.
_AT_ONCE = 20_000


class Migrated(Exception):
    """The catalogue has the codes of another model by now."""


@dataclass(frozen=True)
class _Kind:
    """What is searched: the first codebooks so many, and fine codes of this weight, too."""

    first: int
    gain: np.float32 | None

    def serves(self, other: _Kind) -> bool:
        return self.first == other.first and (other.gain is None or self.gain == other.gain)


@dataclass(frozen=True)
class _Kept:
    kind: _Kind
    stamp: str
    engine: Engine | Staged
    fine: Fine | None
    scale: Scale
    count: int

    def answers(self, kind: _Kind) -> tuple[Engine | Staged | Fine, Scale]:
        return (self.fine if kind.gain is not None and self.fine is not None else self.engine), self.scale


@dataclass
class _Build:
    """An engine that is being built because the catalogue was seen at `stamp`."""

    kind: _Kind
    stamp: str
    done: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None


class Engines:
    """Keeps the engine that was asked for last. Safe from several threads; `lock` guards the catalogue's connection."""

    def __init__(self, library: Path, facts: Facts, catalogue: Catalogue, lock: threading.RLock) -> None:
        self._library, self._facts, self._catalogue, self._lock = library, facts, catalogue, lock
        self._kept: _Kept | None = None
        self._build: _Build | None = None
        self._failed: _Build | None = None  # beside, with nobody waiting
        self._last: Snapshot | None = None  # without its codes, for the fine codes of the next state

    def current(
        self, first: int, gain: np.float32 | None = None, *, newest: bool = False
    ) -> tuple[Engine | Staged | Fine, Scale]:
        """An engine that scans the first `first` codebooks; all M of them: the exact one. And the scale of its scores.

        gain: what fine codes weigh; the engine then goes by them, too, where the library keeps them. newest: of a
        state that is not older than this call, whatever that takes. Raises Migrated.
        """
        kind, mine = _Kind(first, gain), None
        while True:
            with self._lock, explained(self._library):
                stamp, kept = self._stamp(), self._kept
                usable = kept is not None and kept.kind.serves(kind)
                if kept is not None and usable and (kept.stamp == stamp or (mine and mine.done.is_set())):
                    return kept.answers(kind)
                if self._failed is not None and self._failed.stamp == stamp:
                    error, self._failed = self._failed.error, None
                    assert error is not None
                    raise error
                beside = kept is not None and usable and not newest and kept.count > _AT_ONCE
                build, ours = self._build, False
                if build is None:
                    build = self._build = _Build(kind, stamp)
                    mine, ours = build, True
            if beside:
                if ours:
                    threading.Thread(target=self._run, args=(build, True), name="sightbook engine").start()
                assert kept is not None
                return kept.answers(kind)
            if ours:
                self._run(build, False)
            build.done.wait()
            if build.error is not None and ours:
                raise build.error

    def follow(self) -> None:
        """Brings the engine that is in use to the state that this program itself has just written."""
        kept = self._kept
        if kept is not None:
            self.current(kept.kind.first, kept.kind.gain, newest=True)

    def _stamp(self) -> str:
        """Of the present state; raises Migrated when it is of another model."""
        fingerprint, stamp = self._catalogue.steadily(
            lambda: (self._catalogue.fingerprint, self._catalogue.stamp)
        )
        if fingerprint != self._facts.fingerprint:
            raise Migrated
        return stamp

    def _run(self, build: _Build, beside: bool) -> None:
        try:
            with explained(self._library):
                kept = self._made(build.kind)
            with self._lock:
                self._kept = kept
        except BaseException as error:
            build.error = error
            if beside and not isinstance(error, Migrated):
                self._failed = build
        finally:
            with self._lock:
                self._build = None
            build.done.set()
            give_back_freed_memory()

    def _made(self, kind: _Kind) -> _Kept:
        from sightbook.catalogue.snapshot import load
        from sightbook.codes.engine import Engine, Staged
        from sightbook.codes.fine import Fine
        from sightbook.codes.scale import Scale

        facts, finely = self._facts, kind.gain is not None
        # While a writer is at work each batch is a new state: the cache is written once, not at each of them.
        opening = self._kept is None or (finely and self._kept.kind.gain is None)
        with closing(Catalogue.read(self._library / NAME)) as catalogue:

            def read() -> Snapshot:
                if catalogue.fingerprint != facts.fingerprint:
                    raise Migrated
                return load(
                    catalogue, self._library / "cache", facts.code_bytes,
                    save=opening, fine=finely, last=self._last,
                )  # fmt: skip

            found = catalogue.steadily(read)
        if kind.first == facts.M:
            engine: Engine | Staged = Engine(found.packed, facts.M, facts.K, found.ids)
        else:
            engine = Staged(found.packed, facts.M, facts.K, kind.first, found.ids)
        fine = None if kind.gain is None or found.fine is None else Fine(engine, found.fine, kind.gain)
        scale = Scale.of(found.packed, facts.M, facts.K, found.fine)
        if found.digests is not None:
            self._last = replace(found, packed=found.packed[:0].copy())
        return _Kept(kind, found.stamp, engine, fine, scale, len(found.ids))

"""Searching a library: query pictures → the look-up tables of its model → the engine over its codes (and fine codes,
where it keeps them) → keys of the best.

Model and engine belong to one state of the catalogue. A writer may move it on at any moment, and a migration may
exchange the model: then the question is asked again of the new state, so that no answer mixes two.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sightbook.arguments import array, as_rows, finite
from sightbook.catalogue import folder
from sightbook.catalogue.catalogue import Catalogue
from sightbook.catalogue.database import explained
from sightbook.catalogue.folder import Facts
from sightbook.catalogue.ids import ids_of
from sightbook.errors import ConfigError, LibraryError, ModelError, PictureError
from sightbook.images.stored import locate
from sightbook.search.engines import Engines, Migrated
from sightbook.search.hit import Hit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sightbook.codes.engine import Engine, Staged
    from sightbook.codes.fine import Fine
    from sightbook.images.pixels.picture import Picture
    from sightbook.model.model import Model

_T = TypeVar("_T")
# Tries to find a state no writer has taken hits from between scoring and looking up.
_ROUNDS = 5


class Answers:
    """The library at `path` as its readers see it; `lock` guards the catalogue's connection."""

    def __init__(self, path: Path, facts: Facts, catalogue: Catalogue, lock: threading.RLock) -> None:
        self._path, self._facts, self._catalogue, self._lock = path, facts, catalogue, lock
        self._model: Model | None = None
        self._engines = Engines(path, facts, catalogue, lock)

    @property
    def facts(self) -> Facts:
        """Those of the present model: of another one after a migration, by whichever process."""
        with self._lock, explained(self._path):
            return self._again(self._present)

    def _present(self) -> Facts:
        fingerprint, fine = self._catalogue.steadily(
            lambda: (self._catalogue.fingerprint, self._catalogue.fine)
        )
        if (fingerprint, fine) != (self._facts.fingerprint, self._facts.fine):
            facts = folder.facts_of(self._path, fingerprint, fine)
            if fingerprint != self._facts.fingerprint:
                self._model = None
            self._facts = facts
            self._engines = Engines(self._path, self._facts, self._catalogue, self._lock)
        return self._facts

    @property
    def model(self) -> Model:
        """The library's own copy of its present model, loaded at first use."""
        with self._lock, explained(self._path):
            return self._again(self._loaded)

    def _loaded(self) -> Model:
        facts = self._present()
        if self._model is None:
            from sightbook.model.model import Model

            model = Model.open(folder.model_of(self._path, facts.fingerprint))
            if model.fingerprint != facts.fingerprint:
                raise LibraryError(
                    f"{self._path / 'model'} is not the model {self._path} was made with (fingerprint "
                    f"{model.fingerprint[:12]}, not {facts.fingerprint[:12]}): copy the whole library again"
                )
            self._model = model
        return self._model

    def _again(self, read: Callable[[], _T]) -> _T:
        """A migration that is just ending puts one model in another one's place: what was not there is there then."""
        for _ in range(_ROUNDS - 1):
            with suppress(LibraryError, ModelError):
                return read()
        return read()

    def search(
        self,
        images: Picture | Sequence[Picture],
        k: int,
        scan_bits: int | None,
        among: Collection[int] | None,
        fine: bool | None,
    ) -> list[Hit]:
        """`Library.search`."""
        from sightbook.search.query import at_hand, listed, stacked

        queries = [at_hand(query) for query in listed(images)]
        if not queries:
            raise PictureError("no query picture was given: give at least one")
        for _ in range(_ROUNDS):
            model = self.model
            x = model.embed(stacked(queries, model))
            try:
                return self._hits(model, x, k, scan_bits=scan_bits, among=among, fine=fine)
            except Migrated:
                continue  # just now: ask the new model
        raise LibraryError(f"{self._path} changes its model again and again: try later")

    def search_vectors(
        self,
        vectors: NDArray[Any],
        k: int,
        scan_bits: int | None,
        among: Collection[int] | None,
        fine: bool | None,
    ) -> list[Hit]:
        """`Library.search_vectors`."""
        asked = as_rows(vectors)
        for _ in range(_ROUNDS):
            model = self.model
            if not model.takes_vectors:
                raise ModelError(
                    f"{self._path} holds pictures and has no vectors to search among: ask it with pictures"
                )
            try:
                x = model.describe(asked)
                return self._hits(model, x, k, scan_bits=scan_bits, among=among, fine=fine)
            except Migrated:
                continue
        raise LibraryError(f"{self._path} changes its model again and again: try later")

    def search_embeddings(
        self,
        x: NDArray[np.float32],
        k: int,
        scan_bits: int | None,
        among: Collection[int] | None,
        fine: bool | None,
    ) -> list[Hit]:
        """`Library.search_embeddings`."""
        try:
            model = self.model
            x = finite(array(x, "x (of another model?)", ("Q", model.D)), "x")
            return self._hits(model, x, k, scan_bits=scan_bits, among=among, fine=fine)
        except Migrated:
            raise LibraryError(
                f"{self._path} was migrated to another model just now: embed the query again by `library.model`"
            ) from None

    def follow(self) -> None:
        """What was written through this object is what its next search finds."""
        with suppress(Migrated):
            self._engines.follow()

    def _hits(
        self,
        model: Model,
        x: NDArray[np.float32],
        k: int,
        *,
        scan_bits: int | None,
        among: Collection[int] | None,
        fine: bool | None,
    ) -> list[Hit]:
        """Raises Migrated when the codes are not those of `model` any more."""
        from sightbook.codes.fine import Fine

        chosen = None if among is None else ids_of(among, "among")
        if among is not None and scan_bits is not None:
            raise ConfigError("a choice of pictures is searched by whole codes: leave scan_bits out")
        if fine and not self.facts.fine:
            raise ConfigError(f"{self._path} keeps no fine codes to search by: leave `fine` out")
        tables = model.tables(x)
        finely = fine is not False and model.fine_bytes > 0
        queries, gain = (model.fine(x), model.fine_gain) if finely else (None, None)
        first = model.M if scan_bits is None else model.prefix(scan_bits).M
        for round in range(_ROUNDS):
            with self._lock:
                engines = self._engines
                if model.fingerprint != self._facts.fingerprint:
                    raise Migrated
            engine, scale = engines.current(first, gain, newest=round > 0)
            ids, raw = _found(engine, tables, queries, k, chosen)
            with self._lock, explained(self._path):
                rows = self._catalogue.keys(sorted({int(id) for id in ids.flat}))
            if len(rows) == len(set(ids.flat)):
                break  # else a writer removed some of them meanwhile: ask its new state
        scores = scale.scores(raw, tables, queries if isinstance(engine, Fine) else None, gain)
        hits = []
        for query, found in enumerate(zip(ids.tolist(), raw.tolist(), scores.tolist(), strict=True)):
            for rank, (id, total, score) in enumerate(zip(*found, strict=True), start=1):
                if id in rows:
                    source, path, kind, root, digest = rows[id]
                    where = locate(kind, root, path)
                    hits.append(
                        Hit(rank, id, score, total, query, source, path, where, kind, root, digest.hex())
                    )
        return hits


def _found(
    engine: Engine | Staged | Fine,
    tables: NDArray[np.float32],
    queries: NDArray[np.int8] | None,
    k: int,
    among: NDArray[np.int64] | None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """ids and raw scores; several queries are spread over the cores."""
    from sightbook.codes.engine import Staged
    from sightbook.codes.fine import Fine
    from sightbook.cores import cores

    threads = 1 if len(tables) == 1 else cores()
    if isinstance(engine, Fine):
        assert queries is not None
        return engine.search(tables, queries, k, threads, among=among)
    if isinstance(engine, Staged):
        return engine.search(tables, k, threads=threads)
    return engine.search(tables, k, threads, among=among)

"""A collection of pictures with their codes, on disk: open, add, search, status, remove.

Data flow: `add` scans sources and writes rows and codes into the catalogue (ingest.py); `search` encodes the query,
scores it against a snapshot of all codes (engines.py, snapshot.py) and looks up the keys of the best.
Any number of processes may read while one writes; readers see whole batches.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sightbook.errors import ConfigError, LibraryError, PictureError
from sightbook.images.entry import locate
from sightbook.library import folder
from sightbook.library.catalogue import NAME, Catalogue
from sightbook.library.database import explained
from sightbook.library.engines import Engines, Migrated
from sightbook.library.folder import Facts
from sightbook.library.lock import writer_lock
from sightbook.library.results import AddPlan, AddReport, Failure, Hit, SourceStatus, Status
from sightbook.library.schema import FORMAT, KeyRow
from sightbook.library.selection import Wanted, select
from sightbook.progress import Listener, silent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sightbook.codes.engine import Engine
    from sightbook.codes.staged import Staged
    from sightbook.library.ingest import Prune
    from sightbook.library.query import Picture
    from sightbook.model.model import Model

# Tries to find a state no writer has taken hits from between scoring and looking up.
_SEARCH_ROUNDS = 5


class Library:
    """An open LIBRARY folder. Use as a context manager, or `close` it. Searching is safe from several threads."""

    def __init__(self, path: Path, facts: Facts, catalogue: Catalogue) -> None:
        self.path, self.facts = path, facts
        self._catalogue = catalogue
        self._lock = threading.RLock()
        self._model: Model | None = None
        self._engines = Engines(path, facts, catalogue)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, create_with: Model | str | os.PathLike[str] | None = None
    ) -> Library:
        """Opens a library; with `create_with` (a model or its folder) one that does not exist yet is made.

        Raises LibraryError when there is none, it is damaged, newer than this program, or made with another model;
        ModelError when `create_with` is no model.
        """
        path = Path(path)
        if create_with is not None and not folder.exists(path):
            from sightbook.model.model import Model

            folder.create(path, create_with if isinstance(create_with, Model) else Model.open(create_with))
        facts = folder.read_facts(path)
        with explained(path):
            catalogue = Catalogue.read(path / NAME)
            try:
                if catalogue.format > FORMAT:
                    raise LibraryError(
                        f"the catalogue of {path} has format {catalogue.format}, this program reads up to {FORMAT}: "
                        "update sightbook (pip install -U sightbook)"
                    )
                facts = folder.facts_of(path, catalogue.fingerprint if catalogue.format else "")
            except BaseException:
                catalogue.close()
                raise
        library = cls(path, facts, catalogue)
        if create_with is not None:
            library._check_model(create_with)
        return library

    def close(self) -> None:
        """Closes the catalogue; closing twice is fine."""
        self._catalogue.close()

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Pictures that can be found."""
        with self._lock, explained(self.path):
            return sum(row.good for row in self._catalogue.counts().values())

    @property
    def model(self) -> Model:
        """The library's own copy of its model, loaded at first use; another one after a migration."""
        with self._lock, explained(self.path):
            self._follow()
            if self._model is None:
                from sightbook.model.model import Model

                model = Model.open(folder.model_of(self.path, self.facts.fingerprint))
                if model.fingerprint != self.facts.fingerprint:
                    raise LibraryError(
                        f"{self.path / 'model'} is not the model {self.path} was made with (fingerprint "
                        f"{model.fingerprint[:12]}, not {self.facts.fingerprint[:12]}): copy the whole library again"
                    )
                self._model = model
            return self._model

    def add(
        self,
        sources: Sequence[str | Path] | str | Path,
        *,
        model: Model | str | os.PathLike[str] | None = None,
        jobs: int | None = None,
        moved_from: str | Path | None = None,
        retry: bool = False,
        exclude: Sequence[str] = (),
        prune: Prune = False,
        listener: Listener = silent,
    ) -> AddReport:
        """Brings the library up to date with `sources`: new pictures in, changed ones again, the rest untouched.

        A picture counts as unchanged when size and time (ns) are equal; then it is not opened. Those that cannot be
        read are told to the listener, recorded, and tried again when they change, or when `retry` is set. Pictures
        that have gone from a source are left out of searches until they are back; prune forgets them. One whose content
        is found under another path was moved: it keeps its id. Results are committed in batches: after Ctrl-C or a
        crash the same call goes on where it stopped.

        model: only checked to be the library's own. jobs: decoding processes. moved_from: the one source given stood
        there before; keys and ids stay. exclude: globs of paths, names or folders in the sources that are not taken.
        prune: True, or "all" when it may take everything known of a source. Raises LibraryError (another writer,
        another model, a full or read-only disk, a prune that would take everything) and SourceError.
        """
        if model is not None:
            with self._lock, explained(self.path):
                self._follow()
            self._check_model(model)
        specs = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
        from sightbook.library import ingest

        with explained(self.path), writer_lock(self.path):
            catalogue = Catalogue.write(self.path / NAME)
            try:
                folder.catch_up(self.path, catalogue.fingerprint)
                return ingest.add(
                    catalogue,
                    self.path,
                    lambda: self.model,
                    specs,
                    jobs=jobs,
                    moved_from=moved_from,
                    retry=retry,
                    exclude=exclude,
                    prune=prune,
                    listener=listener,
                )
            finally:
                catalogue.close()

    @classmethod
    def plan(
        cls,
        path: str | os.PathLike[str],
        sources: Sequence[str | Path] | str | Path,
        *,
        moved_from: str | Path | None = None,
        retry: bool = False,
        exclude: Sequence[str] = (),
        prune: Prune = False,
        listener: Listener = silent,
    ) -> AddPlan:
        """What `add` would do with these arguments; nothing is written, and `path` need not be a library yet."""
        from sightbook.library import ingest

        path = Path(path)
        specs = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
        with explained(path):
            if folder.exists(path):
                with cls.open(path):
                    catalogue = Catalogue.read(path / NAME)
            else:
                catalogue = Catalogue.create(Path(":memory:"), "")
            try:
                plans = ingest.planned(
                    catalogue, path, specs,
                    moved_from=moved_from, retry=retry, exclude=exclude, prune=prune, listener=listener,
                )  # fmt: skip
                return ingest.told(catalogue, plans)
            finally:
                catalogue.close()

    def search(
        self,
        images: Picture | Sequence[Picture],
        k: int = 10,
        *,
        scan_bits: int | None = None,
        among: Collection[int] | None = None,
    ) -> list[Hit]:
        """The `k` pictures most like each query picture, best first, equal scores by id.

        images: a path, the bytes of a picture file, an RGB array (H, W, 3) uint8 or Pillow image, or a list of those:
        several searches in one, told apart by `Hit.query`. A query that is in the library finds itself.
        scan_bits: scan the first bits of each code only, where the model has nested codes, and score the best of them
        by the whole code: faster in large libraries, but a picture may be missed. among: the ids to choose from, where
        not all pictures are meant; those that are not in the library are passed over.
        Raises PictureError for a query that cannot be read, LibraryError, ModelError, ConfigError (k < 1).
        """
        import numpy as np

        from sightbook.library.query import listed, pixels

        queries = listed(images)
        if not queries:
            raise PictureError("no query picture was given: give at least one")
        for _ in range(_SEARCH_ROUNDS):
            model = self.model
            x = model.embed(np.stack([pixels(query, model) for query in queries]))
            try:
                return self._search(model, x, k, scan_bits, among)
            except Migrated:
                continue  # just now: ask the new model
        raise LibraryError(f"{self.path} changes its model again and again: try later")

    def search_embeddings(
        self,
        x: NDArray[np.float32],
        k: int = 10,
        *,
        scan_bits: int | None = None,
        among: Collection[int] | None = None,
    ) -> list[Hit]:
        """`search` for embeddings x (Q, D) float32 of the library's model. LibraryError when the library has just been
        migrated to another one."""
        try:
            return self._search(self.model, x, k, scan_bits, among)
        except Migrated:
            raise LibraryError(
                f"{self.path} was migrated to another model just now: embed the query again by `library.model`"
            ) from None

    def _search(
        self,
        model: Model,
        x: NDArray[np.float32],
        k: int,
        scan_bits: int | None,
        among: Collection[int] | None,
    ) -> list[Hit]:
        """Raises Migrated when the codes are not those of `model` any more."""
        if among is not None and scan_bits is not None:
            raise ConfigError("a choice of pictures is searched by whole codes: leave scan_bits out")
        if k < 1:
            raise ConfigError(f"k = {k} results cannot be given: ask for at least 1")
        tables = model.tables(x)
        first = model.M if scan_bits is None else model.prefix(scan_bits).M
        for _ in range(_SEARCH_ROUNDS):
            with self._lock:
                if model.fingerprint != self.facts.fingerprint:
                    raise Migrated
                engine = self._engines.current(first)
            ids, scores = self._found(engine, tables, k, among)
            with self._lock, explained(self.path):
                rows = self._catalogue.keys(sorted({int(id) for id in ids.flat}))
            if len(rows) == len(set(ids.flat)):
                break  # else a writer removed some of them meanwhile: ask its new state
        return [
            self._hit(query, rank, int(id), float(score), rows[int(id)])
            for query in range(len(ids))
            for rank, (id, score) in enumerate(zip(ids[query], scores[query], strict=True), start=1)
            if int(id) in rows
        ]

    def status(self) -> Status:
        """What the library holds, where from, and what could not be read."""
        from sightbook.library.scan import is_there
        from sightbook.model.config import ModelConfig

        with self._lock, explained(self.path):
            rows, counts, failed = self._catalogue.sources(), self._catalogue.counts(), self.failures()
            self._follow()
        config = ModelConfig.read(folder.model_of(self.path, self.facts.fingerprint))
        sources = [
            SourceStatus(
                row.id,
                row.kind,
                row.root,
                is_there(row.root),
                *counts[row.id],
                added=row.added,
                scanned=row.scanned,
            )
            for row in rows
        ]
        return Status(
            path=str(self.path),
            format=folder.FORMAT,
            pictures=sum(source.pictures for source in sources),
            missing=sum(source.missing for source in sources),
            unreadable=sum(source.unreadable for source in sources),
            failures=len(failed),
            bits=self.facts.bits,
            M=self.facts.M,
            K=self.facts.K,
            fingerprint=self.facts.fingerprint,
            method=config.method,
            pretraining=config.pretraining,
            selection=config.selection,
            created=self.facts.created,
            bytes=folder.size(self.path),
            sources=sources,
            failed=failed,
        )

    def failures(self) -> list[Failure]:
        """The files that could not be read, by source and path."""
        with self._lock, explained(self.path):
            sources = {row.id: row for row in self._catalogue.sources()}
            rows = self._catalogue.failures()
        return [
            Failure(
                row.source,
                row.path,
                locate(sources[row.source].kind, sources[row.source].root, row.path),
                row.reason,
                row.failed,
            )
            for row in rows
            if row.source in sources
        ]

    def remove(self, what: Wanted | Sequence[Wanted]) -> int:
        """Takes pictures out and returns how many. Their files are not touched, their ids not used again.

        Each of `what` is an id, a key (source, path), or a text: a path as the library shows it, a folder, a glob of
        those (`*` crosses `/`), or a source's root or id, which goes as a whole. A file that is still in its source
        comes back with the next `add` of that. Raises LibraryError when one of them matches nothing; then nothing goes.
        """
        wanted = [what] if isinstance(what, str | int | tuple) else list(what)
        with explained(self.path), writer_lock(self.path):
            catalogue = Catalogue.write(self.path / NAME)
            try:
                return catalogue.remove(*select(catalogue, self.path, wanted))
            finally:
                catalogue.close()

    def codes(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """ids (N,) int64 ascending and packed codes (N, code_bytes) uint8 of the pictures that can be found."""
        from sightbook.library.snapshot import load

        with self._lock, explained(self.path):
            found = load(self._catalogue, self.path / "cache", self.facts.code_bytes)
        return found.ids, found.packed

    def rows(self, count: int) -> Iterator[list[tuple[int, str, str, str, bytes, bytes]]]:
        """(id, source, path, root, digest, packed code) of the pictures that can be found, `count` at a time, by id."""
        after = 0
        while True:
            with self._lock, explained(self.path):
                found = self._catalogue.page(after, count)
            if not found:
                return
            yield found
            after = found[-1][0]

    # Parts

    def _hit(self, query: int, rank: int, id: int, raw: float, row: KeyRow) -> Hit:
        source, path, kind, root = row
        return Hit(
            rank, id, raw / self.facts.M, raw, query, source, path, locate(kind, root, path), kind, root
        )

    @staticmethod
    def _found(
        engine: Engine | Staged, tables: NDArray[np.float32], k: int, among: Collection[int] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """ids and scores; several queries are spread over the cores."""
        import numpy as np

        from sightbook.codes.staged import Staged
        from sightbook.images.pool import cores

        threads = 1 if len(tables) == 1 else cores()
        if among is None or isinstance(engine, Staged):
            return engine.search(tables, k, threads=threads)
        return engine.search(tables, k, threads, among=np.unique(np.fromiter(among, np.int64)))

    def _follow(self) -> None:
        """Takes over the model of a migration that another process, or this one, has finished since."""
        fingerprint = self._catalogue.fingerprint
        if fingerprint != self.facts.fingerprint:
            self.facts = folder.facts_of(self.path, fingerprint)
            self._model = None
            self._engines = Engines(self.path, self.facts, self._catalogue)

    def _check_model(self, model: Model | str | os.PathLike[str]) -> None:
        """Refuses a model whose codes would not compare with those in the library."""
        from sightbook.model.config import ModelConfig

        name: object = model
        if isinstance(model, str | os.PathLike):
            config = ModelConfig.read(Path(model))
        else:
            config, name = model.config, model.folder
        if config.fingerprint != self.facts.fingerprint:
            raise LibraryError(
                f"{self.path} was made with another model ({self.facts.bits} bits, fingerprint "
                f"{self.facts.fingerprint[:12]}) than {name} ({config.bits} bits, {config.fingerprint[:12]}): leave "
                "the model out to go on with its own, or give another folder for a new library"
            )

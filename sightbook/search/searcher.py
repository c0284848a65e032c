"""Searching a library: question → embedding → look-up tables → engine → keys of the best (`Searcher.answer`).

Model and engine are of one state of the catalogue, a `View`, which a question holds on to. A writer may move the
catalogue on at any moment, and a migration may exchange the model. In a library of more than some thousands a search
does not wait for what others write: it is answered from the view there is, while one thread builds the next one beside
it; then they are swapped. Waited for are the first view, an engine of another kind, codes of another model, and what
this program itself wrote.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightbook.allocator import give_back_freed_memory
from sightbook.arguments import array, as_rows, finite
from sightbook.catalogue import folder
from sightbook.catalogue.catalogue import NAME, Catalogue
from sightbook.catalogue.database import explained
from sightbook.catalogue.fine import refuse_other
from sightbook.catalogue.folder import Facts
from sightbook.catalogue.versions import refuse_newer
from sightbook.errors import ConfigError, LibraryError, ModelError, PictureError
from sightbook.search.hit import Hit, hits_of
from sightbook.search.moved import ROUNDS, MovedOn, again

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sightbook.images.pixels.picture import Picture
    from sightbook.model.model import Model
    from sightbook.search.request import Request
    from sightbook.search.view import Present, View, Want

# Pictures of which an engine is built so quickly (some ms) that the newest state is always waited for.
AT_ONCE = 20_000


class Searcher:
    """What searches the library at `path`, from any number of threads; `facts` are those it was opened with.

    catalogue: open for reading, its own from now on; for one thread at a time, which holds the lock.
    """

    def __init__(self, path: Path, facts: Facts, catalogue: Catalogue) -> None:
        self._path, self._facts = path, facts
        self.catalogue = catalogue
        self.lock = threading.RLock()  # guards the connection and what follows
        self._model: Model | None = None
        self._view: View | None = None
        self._building: Future[View] | None = None
        self._failed: tuple[str, BaseException] | None = None  # at which stamp, beside, with nobody waiting

    @classmethod
    def open(cls, path: Path, fine: bool | None = None) -> Searcher:
        """LibraryError when the library is damaged, newer than this program, or made with `fine` otherwise."""
        with explained(path):
            catalogue = Catalogue.read(path / NAME)
            try:
                facts = again(lambda: _facts_in(path, catalogue))
                refuse_other(path, facts.fine, fine)
                return cls(path, facts, catalogue)
            except BaseException:
                catalogue.close()
                raise

    def close(self) -> None:
        """No question is answered after that."""
        self.catalogue.close()

    @property
    def facts(self) -> Facts:
        """Those of the present model: of another one after a migration, by whichever process."""
        with self.lock, explained(self._path):
            return again(lambda: self._read()[1])

    @property
    def model(self) -> Model:
        """The library's own copy of its present model, loaded at first use."""
        with self.lock, explained(self._path):
            return again(self._read_present).model

    def search(self, images: Picture | Sequence[Picture], request: Request) -> list[list[Hit]]:
        """`Library.search_many`."""
        from sightbook.images.pixels.picture import split
        from sightbook.search.query import at_hand, embed

        queries = [at_hand(query) for query in split(images)]
        if not queries:
            raise PictureError("no query picture was given: give at least one")
        return self.answer(lambda model: embed(queries, model), request)

    def search_vectors(self, vectors: NDArray[Any], request: Request) -> list[list[Hit]]:
        """`Library.search_vectors`, one list a question."""
        asked = as_rows(vectors)

        def embed(model: Model) -> NDArray[np.float32]:
            if not model.takes_vectors:
                raise ModelError(
                    f"{self._path} holds pictures and has no vectors to search among: ask it with pictures"
                )
            return model.describe(asked)

        return self.answer(embed, request)

    def search_embeddings(self, x: NDArray[np.float32], request: Request) -> list[list[Hit]]:
        """`Library.search_embeddings`, one list a question."""
        own = self.model

        def embed(model: Model) -> NDArray[np.float32]:
            if model is not own:
                raise LibraryError(
                    f"{self._path} was migrated to another model just now: embed the query again by `library.model`"
                )
            return finite(array(x, "x (of another model?)", ("Q", model.D)), "x")

        return self.answer(embed, request)

    def answer(self, embed: Callable[[Model], NDArray[np.float32]], request: Request) -> list[list[Hit]]:
        """The hits of each question. embed: the questions' embeddings by a model; it is called again where a migration
        has put another model in its place."""
        model: Model | None = None
        if self._view is None:  # a question that cannot be asked shall not cost an engine
            model = self.model
            x = embed(model)
        for round in range(ROUNDS):
            view = self._current(lambda present: self._want(present, request), newest=round > 0)
            if view.present.model is not model:
                model = view.present.model
                x = embed(model)
            found = view.search(x, request)
            ids = sorted(set(found.ids.ravel().tolist()))
            with self.lock, explained(self._path):
                keys = self.catalogue.keys(ids)
            if len(keys) == len(ids):
                break  # else a writer removed some of them meanwhile: ask its new state
        return hits_of(found, keys)

    def follow(self) -> None:
        """What was written through this program is what its next search finds."""
        view = self._view
        if view is None:
            return

        def want(present: Present) -> Want:
            if present.model is not view.present.model:
                raise MovedOn
            return view.want

        with suppress(MovedOn):
            self._current(want, newest=True)

    def _want(self, present: Present, request: Request) -> Want:
        from sightbook.search.view import Want

        facts, model = present.facts, present.model
        if request.fine and not facts.fine:
            raise ConfigError(f"{self._path} keeps no fine codes to search by: leave `fine` out")
        first = facts.M if request.scan_bits is None else model.prefix(request.scan_bits).M
        return Want(first, request.fine is not False and facts.fine_bytes > 0)

    def _current(self, want_in: Callable[[Present], Want], *, newest: bool = False) -> View:
        """A view of the kind that is asked for in the present state. newest: of a state that is not older than this
        call, whatever that takes."""
        waited = False  # for a view that was begun after this call
        while True:
            with self.lock, explained(self._path):
                present = again(self._read_present)
                want, view = want_in(present), self._view
                usable = view is not None and view.serves(present, want)
                if view is not None and usable and (waited or view.present.stamp == present.stamp):
                    return view
                if self._failed is not None and self._failed[0] == present.stamp:
                    error, self._failed = self._failed[1], None
                    raise error
                beside = view is not None and usable and not newest and view.count > AT_ONCE
                building, ours = self._building, False
                if building is None:
                    building, ours = Future(), True
                    self._building = building
            if ours and beside:
                arguments = (building, present, want, True)
                try:
                    threading.Thread(target=self._build, args=arguments, name="sightbook engine").start()
                except RuntimeError:  # no thread is to be had
                    self._build(*arguments)
            elif ours:
                self._build(building, present, want)
            if beside:
                assert view is not None
                return view
            unbuilt = building.exception()  # waits
            if ours and unbuilt is not None and not isinstance(unbuilt, MovedOn):
                raise unbuilt
            waited = ours and unbuilt is None

    def _build(self, building: Future[View], present: Present, want: Want, beside: bool = False) -> None:
        from sightbook.search.view import View

        try:
            with explained(self._path):
                view = View.build(self._path, present, want, self._view)
        except BaseException as error:
            with self.lock:
                self._building = None
                if beside and not isinstance(error, MovedOn):
                    self._failed = present.stamp, error
            building.set_exception(error)
        else:
            with self.lock:
                self._view, self._building = view, None
            building.set_result(view)
        finally:
            give_back_freed_memory()

    # The present state, with the lock held

    def _read(self) -> tuple[str, Facts]:
        catalogue, facts = self.catalogue, self._facts
        stamp, fingerprint, fine = catalogue.steadily(
            lambda: (catalogue.stamp, catalogue.fingerprint, catalogue.fine)
        )
        if (fingerprint, fine) != (facts.fingerprint, facts.fine):
            self._facts = folder.facts_of(self._path, fingerprint, fine)
        return stamp, self._facts

    def _read_present(self) -> Present:
        from sightbook.search.view import Present

        stamp, facts = self._read()
        if self._model is None or self._model.fingerprint != facts.fingerprint:
            from sightbook.model.model import Model

            model = Model.open(folder.model_of(self._path, facts.fingerprint))
            if model.fingerprint != facts.fingerprint:
                raise LibraryError(
                    f"{self._path / 'model'} is not the model {self._path} was made with (fingerprint "
                    f"{model.fingerprint[:12]}, not {facts.fingerprint[:12]}): copy the whole library again"
                )
            self._model = model
        return Present(stamp, facts, self._model)


def _facts_in(path: Path, catalogue: Catalogue) -> Facts:
    """The facts of one state. LibraryError when this program cannot read it, or it is none."""

    def read() -> tuple[int, str, int | None]:
        laid_out = catalogue.format
        return (laid_out, catalogue.fingerprint, catalogue.fine) if laid_out else (0, "", None)

    version, fingerprint, fine = catalogue.steadily(read)
    refuse_newer(version, path)
    return folder.facts_of(path, fingerprint, fine)

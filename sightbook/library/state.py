"""One committed state of a library: codes, keys and facts that belong together, and the model they are of.

Whoever reads a library in pages, or its codes here and its model there, reads a `State`: a writer may commit and a
migration may land between any two steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from sightbook.catalogue import folder
from sightbook.catalogue.catalogue import NAME, Catalogue
from sightbook.catalogue.database import explained
from sightbook.catalogue.folder import Facts
from sightbook.catalogue.rows import SourceRow
from sightbook.errors import ConfigError, LibraryError, ModelError
from sightbook.search.moved import ROUNDS, MovedOn

if TYPE_CHECKING:
    from sightbook.images.pixels.about import About
    from sightbook.library.library import Library
    from sightbook.model.model import Model

_T = TypeVar("_T")

Row = tuple[int, str, str, str, bytes, *tuple[bytes, ...]]  # as `Catalogue.page` gives it


class State:
    """The state that one reading sees."""

    def __init__(self, catalogue: Catalogue, facts: Facts, model: Model) -> None:
        self._catalogue, self.facts, self.model = catalogue, facts, model

    def rows(self, count: int, *, fine: bool = False) -> Iterator[list[Row]]:
        """As `Library.rows`."""
        return _pages(self._catalogue, count, fine)

    def about(self, ids: Sequence[int]) -> dict[int, About]:
        """What pictures tell about themselves, by id."""
        return {id: about for id, (_, about) in self._catalogue.about(ids).items()}

    def codes(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """As `Library.codes`."""
        from sightbook.catalogue.snapshot import of_rows

        found = of_rows(self._catalogue, self.facts.code_bytes)
        return found.ids, found.packed

    def sources(self) -> list[SourceRow]:
        return self._catalogue.sources()

    def confirm(self) -> None:
        """Before what was made of this state takes its place: raises MovedOn when it is of none."""
        if not self._catalogue.stands():
            raise MovedOn


def of_one_state(library: Library, work: Callable[[State], _T]) -> _T:
    """What `work` makes of one state of the library. It is called again when the state it was reading cannot be had any
    more; what it leaves on the disk it puts in place after `State.confirm`. LibraryError when that goes on and on."""
    with explained(library.path):
        for left in range(ROUNDS, 0, -1):
            with closing(Catalogue.read(library.path / NAME)) as catalogue:

                def read(catalogue: Catalogue = catalogue) -> _T:
                    fingerprint, fine = catalogue.fingerprint, catalogue.fine
                    model = library.model  # of the newest state
                    if model.fingerprint != fingerprint:
                        raise MovedOn
                    return work(State(catalogue, folder.facts_of(library.path, fingerprint, fine), model))

                try:
                    return catalogue.steadily(read)
                except MovedOn:
                    continue
                except (LibraryError, ModelError):
                    if left == 1:  # else a model may be just taking another one's place
                        raise
    raise LibraryError(f"{library.path} changes its model again and again: try later")


def _pages(catalogue: Catalogue, count: int, fine: bool) -> Iterator[list[Row]]:
    after = 0
    while found := catalogue.page(after, count, fine=fine):
        yield found
        after = found[-1][0]


def rows_of(path: Path, count: int, fine: bool) -> Iterator[list[Row]]:
    """`Library.rows` of the library at `path`."""
    with explained(path), closing(Catalogue.read(path / NAME)) as catalogue:
        catalogue.stand_still()
        if fine and not catalogue.fine:
            raise ConfigError(f"{path} keeps no fine codes: leave `fine` out")
        for found in _pages(catalogue, count, fine):
            if not catalogue.stands():
                raise LibraryError(
                    f"{path} was written while its rows were read, and you may not read along: ask for them again"
                )
            yield found


def codes_of(path: Path, catalogue: Catalogue) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """`Library.codes` of the library at `path`, from its cache where that is fresh."""
    from sightbook.catalogue.snapshot import Snapshot, load

    def read() -> Snapshot:
        facts = folder.facts_of(path, catalogue.fingerprint, catalogue.fine)
        return load(catalogue, path / "cache", facts.code_bytes)

    found = catalogue.steadily(read)
    return found.ids, found.packed

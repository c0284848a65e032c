"""One committed state of a library as questions are asked of it: a model and an engine over the codes it made."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sightbook.catalogue.catalogue import NAME, Catalogue
from sightbook.catalogue.folder import Facts
from sightbook.catalogue.snapshot import Snapshot, load
from sightbook.codes.engine import Engine, Index, Staged
from sightbook.codes.fine import Fine
from sightbook.codes.scale import Scale
from sightbook.codes.tables import Floats
from sightbook.cores import cores
from sightbook.search.moved import MovedOn

if TYPE_CHECKING:
    from sightbook.model.model import Model
    from sightbook.search.request import Request


class Present(NamedTuple):
    """The present state of a catalogue, named by its stamp, and the model that its codes are of."""

    stamp: str
    facts: Facts
    model: Model


class Want(NamedTuple):
    """Which engine: over the first codebooks so many, and by fine codes, too, where the library keeps them."""

    first: int
    finely: bool


class Answers(NamedTuple):
    """ids (Q, k) int64, raw scores (Q, k) float32, scores (Q, k) float64 (`codes.scale`), best first."""

    ids: NDArray[np.int64]
    raw: Floats
    scores: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class View:
    """Never changes: a question holds on to one, so that its answers are of one state. Safe from several threads.

    snapshot: of the state, without what the engine holds; for the fine codes of the next one.
    """

    present: Present
    want: Want
    count: int
    codes: Index
    fine: Fine | None
    scale: Scale
    snapshot: Snapshot | None

    @classmethod
    def build(cls, library: Path, present: Present, want: Want, before: View | None) -> View:
        """Reads the newest state of the model over a connection of its own. before: the view that was used until now.
        MovedOn when the catalogue has the codes of another model."""
        facts = present.facts
        if before is not None and not before.is_of(present):
            before = None
        # While a writer is at work each batch is a new state: the cache is written once, not at each of them.
        opening = before is None or want.finely > before.want.finely
        last = None if before is None else before.snapshot
        with closing(Catalogue.read(library / NAME)) as catalogue:

            def read() -> Snapshot:
                if catalogue.fingerprint != facts.fingerprint:
                    raise MovedOn
                cache = library / "cache"
                return load(catalogue, cache, facts.code_bytes, save=opening, fine=want.finely, last=last)

            found = catalogue.steadily(read)
        M, K = facts.M, facts.K
        codes: Engine | Staged
        if want.first == M:
            codes = Engine(found.packed, M, K, found.ids)
        else:
            codes = Staged(found.packed, M, K, want.first, found.ids)
        fine = None if found.fine is None else Fine(codes, found.fine, present.model.fine_gain)
        scale = Scale.of(found.packed, M, K, found.fine)
        if found.digests is not None:
            last = replace(found, packed=found.packed[:0].copy())
        return cls(present._replace(stamp=found.stamp), want, len(found.ids), codes, fine, scale, last)

    def is_of(self, present: Present) -> bool:
        """Whether its codes are of the present model, with fine codes as they are kept now."""
        return self.present.model is present.model and self.present.facts == present.facts

    def serves(self, present: Present, want: Want) -> bool:
        """Whether it answers what wants such an engine."""
        return self.is_of(present) and self.want.first == want.first and self.want.finely >= want.finely

    def search(self, x: Floats, request: Request) -> Answers:
        """The answers to embeddings x (Q, D) of the view's model; several are spread over the cores.

        A re-ranker would ask for more than `request.k` here and put them into its order; a filter has decided before
        what `request.among` is.
        """
        model = self.present.model
        tables = model.tables(x)
        fine = None if request.fine is False else self.fine
        queries = None if fine is None else model.fine(x)
        index: Index = self.codes if fine is None else fine
        threads = 1 if len(x) == 1 else cores()
        ids, raw = index.search(tables, request.k, threads, among=request.among, queries=queries)
        gain = None if fine is None else model.fine_gain
        return Answers(ids, raw, self.scale.scores(raw, tables, queries, gain))

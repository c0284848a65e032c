"""A library that may not be there yet: made when it is opened, or only planned for."""

from __future__ import annotations

from contextlib import closing
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from sightbook.catalogue import create, folder
from sightbook.catalogue.catalogue import NAME, Catalogue
from sightbook.catalogue.database import explained
from sightbook.ingest.order import Order
from sightbook.progress import Listener
from sightbook.search.searcher import Searcher

if TYPE_CHECKING:
    from sightbook.ingest.report import AddPlan
    from sightbook.model.model import Model


def open_or_make(path: Path, model: Model | str | PathLike[str] | None, fine: bool | None) -> Searcher:
    """The searcher of a library, which is made with `model` where there is none, or must be of that model."""
    with explained(path):
        if model is not None and not folder.exists(path):
            from sightbook.model.model import Model

            create.create(path, model if isinstance(model, Model) else Model.open(model), fine)
        folder.read_facts(path)
        searcher = Searcher.open(path.absolute(), fine)  # the process may go to another folder
        if model is not None:
            from sightbook.ingest.refuse import refuse_other_model

            refuse_other_model(model, searcher.facts, path)
        return searcher


def plan(path: Path, order: Order, listener: Listener) -> AddPlan:
    """What an `add` would do to the library, or to one that it would make."""
    from sightbook.ingest.plan import plan_all, summarize

    with explained(path):
        if folder.exists(path):
            open_or_make(path, None, None).close()  # or it says why it cannot be
            catalogue = Catalogue.read(path / NAME)
        elif create.model_left(path) is not None:  # `add` finishes it, with what it holds
            catalogue = Catalogue.read(path / NAME)
        else:
            catalogue = Catalogue.create(Path(":memory:"), "")
        with closing(catalogue):
            return catalogue.steadily(
                lambda: summarize(catalogue, plan_all(catalogue, path, order, listener))
            )

"""What cannot come into a library: sources that its model does not take, another model."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sightbook.catalogue.folder import Facts
from sightbook.errors import LibraryError, typed
from sightbook.images.entry import noun
from sightbook.images.sources import Source
from sightbook.images.vectors import fitting_length
from sightbook.model.config import ModelConfig

if TYPE_CHECKING:
    from sightbook.model.model import Model


def refuse_misfit(sources: Iterable[Source], config: ModelConfig, whose: str) -> None:
    """LibraryError when a source holds pictures and the model takes vectors, the other way round, or not one vector of
    the length that it takes. whose: what the model is called."""
    wanted = "pictures" if config.frame is not None else f"vectors of {config.features} numbers"
    for source in sources:
        held = noun(source.of_kind.of_vectors)
        if config.frame is None and source.of_kind.of_vectors:
            held += f" of {fitting_length(str(source.root), config.features)} numbers"
        if held != wanted:
            raise LibraryError(
                f"{source.root} holds {held}, and {whose} takes {wanted}: give what it takes, or a model of what is "
                "there; a library has one model"
            )


def refuse_other_model(model: Model | str | os.PathLike[str], facts: Facts, library: Path) -> None:
    """LibraryError when a model's codes would not compare with those in the library, whose facts these are."""
    name: object = model
    if isinstance(model, str | os.PathLike):
        config = ModelConfig.read(Path(model))
    else:
        config, name = model.config, model.folder
    if config.fingerprint != facts.fingerprint:
        raise LibraryError(
            f"{library} was made with another model ({facts.bits} bits, fingerprint {facts.fingerprint[:12]}) than "
            f"{name} ({config.bits} bits, {config.fingerprint[:12]}): leave the model out to go on with its own, take "
            f"the other one by `sightbook migrate {typed(library)} --model {typed(str(name))}`, or give another "
            "folder for a new library"
        )

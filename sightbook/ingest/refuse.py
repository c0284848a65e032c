"""What cannot come into a library: sources that its model does not take, another model."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sightbook.catalogue.folder import Facts
from sightbook.catalogue.rows import SourceRow
from sightbook.errors import LibraryError, typed
from sightbook.images.kinds.registry import holds_vectors
from sightbook.images.sources import Source
from sightbook.images.vectors import fitting_length
from sightbook.model.config import ModelConfig

if TYPE_CHECKING:
    from sightbook.model.model import Model


def refuse_other_kind(sources: Iterable[Source | SourceRow], config: ModelConfig, library: Path) -> None:
    """LibraryError when a source holds pictures and the library's model takes vectors, or the other way round."""
    for source in sources:
        if holds_vectors(source.kind) and config.frame is not None:
            raise LibraryError(
                f"{source.root} holds vectors, and the model of {library} takes pictures: give a library of its own, "
                "with a model that was learned from vectors"
            )
        if not holds_vectors(source.kind) and config.frame is None:
            raise LibraryError(
                f"{source.root} holds pictures, and the model of {library} takes vectors of {config.features} numbers: "
                "give a .npy or a .parquet with a column of vectors, or a library of its own, with a model of pictures"
            )


def refuse_other_length(sources: Iterable[Source | SourceRow], config: ModelConfig, library: Path) -> None:
    """LibraryError when a file holds not one vector of the length that the library's model takes: all would fail."""
    for source in sources:
        root = str(source.root)
        if holds_vectors(source.kind) and (F := fitting_length(root, config.features)) != config.features:
            raise LibraryError(
                f"{root} holds vectors of {F} numbers, and the model of {library} takes {config.features}: give "
                "vectors of the network that it was learned from, or a library of its own, with a model of these"
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

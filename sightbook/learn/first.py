"""The first model of a library for which none was given: learned from the pictures it is about to hold.

Data flow: sources → entries, at most 20,000 of them → `train` over the built-in network, beside the library → a folder
that `Library.open` copies its model from; then it is removed. A run that was stopped goes on with the features it has.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from sightbook.describe.learn import ANCHORS, SEED, sample
from sightbook.errors import ConfigError, SourceError
from sightbook.images.sources import open_sources
from sightbook.learn.neighbours import hold_vectors
from sightbook.learn.train import train
from sightbook.model.builtin import BUILTIN
from sightbook.progress import Listener, Notice, silent


@contextmanager
def first_model(
    sources: Sequence[str],
    library: Path,
    *,
    exclude: Sequence[str] = (),
    jobs: int | None = None,
    listener: Listener = silent,
) -> Iterator[Path]:
    """The MODEL folder, 64 bits, of pictures or vectors; it is there until the context ends.

    exclude: globs of what is not taken. More pictures than 20,000 teach nothing more: so many are drawn. Raises
    SourceError where no picture can be read.
    """
    folder = library.with_name(f"{library.name}.learning")
    if (folder / "config.json").exists():
        shutil.rmtree(folder)
    try:
        _learn(sources, folder, exclude=exclude, jobs=jobs, listener=listener)
    except (ConfigError, SourceError):  # a mistake; whatever else stopped it, the features so far are good
        shutil.rmtree(folder, ignore_errors=True)
        raise
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _learn(
    sources: Sequence[str], folder: Path, *, exclude: Sequence[str], jobs: int | None, listener: Listener
) -> None:
    if hold_vectors(sources):
        train(sources, folder, listener=listener)
        return
    keys = [entry.key for entry in open_sources(sources, exclude=exclude).entries()]
    if not keys:
        raise SourceError(f"no pictures in {', '.join(sources)} but excluded ones: exclude less")
    learned = sample(np.arange(len(keys)), ANCHORS, SEED)
    listener(
        Notice(
            f"no model was given: 64-bit codes are learned from {len(learned):,} of these {len(keys):,} pictures, over "
            "the network that comes with sightbook"
        )
    )
    train(
        sources,
        folder,
        backbone=BUILTIN,
        resume=(folder / "train" / "config.yaml").exists(),
        jobs=jobs,
        only={keys[place] for place in learned},
        listener=listener,
    )

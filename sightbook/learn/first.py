"""The first model of a library for which none was given: learned from the pictures it is about to hold.

Data flow: sources → entries, at most 20,000 of them → `train` over the built-in network, in a folder of its own → a
model that `Library.open` copies, and what `Library.add` need not read and compute again; then the folder is removed. A
run that was stopped goes on with the features it has.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sightbook.describe.learn import ANCHORS, SEED, sample
from sightbook.errors import ConfigError, SourceError
from sightbook.images.exclude import Exclude
from sightbook.images.sources import open_sources
from sightbook.learn import fixed
from sightbook.learn.neighbours import hold_vectors
from sightbook.learn.train import train
from sightbook.model.builtin import BUILTIN
from sightbook.model.seen import Seen
from sightbook.progress import Listener, Notice, silent
from sightbook.words import counted

# Paths in a source, by its resolved root.
Held = Mapping[Path, Collection[str]]


@dataclass(frozen=True)
class First:
    """The MODEL folder, and the pictures that learning has seen; None: it was learned from vectors."""

    folder: Path
    seen: Seen | None


@contextmanager
def first_model(
    sources: Sequence[str],
    place: Path,
    *,
    bits: int = 64,
    exclude: Exclude = (),
    held: Held | None = None,
    jobs: int | None = None,
    listener: Listener = silent,
) -> Iterator[First]:
    """A model of pictures or vectors; its folder, in the folder `place`, is there until the context ends.

    exclude: globs of what is not taken; held: the pictures to go by, where that is a part of them. Of more pictures
    than 20,000 so many are drawn. One process at a time may use `place`. Raises SourceError where no picture can be
    read.
    """
    folder, features = place / "model", place / "seen"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        vectors = hold_vectors(sources)
        if vectors:
            train(sources, folder, bits=bits, listener=listener)
        else:
            _learn(
                sources, folder, features, bits=bits, exclude=exclude, held=held, jobs=jobs, listener=listener
            )
    except (ConfigError, SourceError):  # a mistake; whatever else stopped it, the features so far are good
        shutil.rmtree(place, ignore_errors=True)
        raise
    try:
        yield First(folder, None if vectors else fixed.read_kept(features))
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _learn(
    sources: Sequence[str],
    folder: Path,
    features: Path,
    *,
    bits: int,
    exclude: Exclude,
    held: Held | None,
    jobs: int | None,
    listener: Listener,
) -> None:
    opened = open_sources(sources, exclude=exclude)
    keys = [entry.key for entry in opened.entries()]
    if held is not None:
        known = {source.id: held.get(source.root, ()) for source in opened}
        keys = [(source, path) for source, path in keys if path in known[source]]
        if not keys:
            raise SourceError(
                f"no picture that the library holds is in {', '.join(sources)} now: `sightbook add` finds moved ones"
            )
    if not keys:
        raise SourceError(f"no pictures in {', '.join(sources)} but excluded ones: exclude less")
    learned = sample(np.arange(len(keys)), ANCHORS, SEED)
    listener(
        Notice(
            f"{bits}-bit codes are learned from {len(learned):,} of these {counted(len(keys), 'picture')}, over the "
            "network that comes with sightbook"
        )
    )
    train(
        sources,
        folder,
        bits=bits,
        backbone=BUILTIN,
        settings={"features.folder": str(features)},
        jobs=jobs,
        only={keys[place] for place in learned},
        judge=False,
        listener=listener,
    )

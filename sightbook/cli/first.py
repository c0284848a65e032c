"""Learning a model for a library that is given none: what `add` and `migrate --learn` share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sightbook.catalogue import folder
from sightbook.catalogue.lock import writer_lock
from sightbook.images.exclude import Exclude
from sightbook.learn.first import First, Held, first_model
from sightbook.progress import Listener


@contextmanager
def learning(
    library: Path,
    source: Sequence[str],
    *,
    bits: int = 64,
    exclude: Exclude = (),
    held: Held | None = None,
    jobs: int | None,
    listener: Listener,
) -> Iterator[First | None]:
    """A model of what the library holds or is about to hold, learned in a folder inside it; a mistake leaves nothing
    behind. None where there was no library, and another program had made it when its turn was over."""
    place, new, first = library / folder.LEARNING, not library.exists(), not folder.exists(library)
    place.mkdir(parents=True, exist_ok=True)
    try:
        with writer_lock(place):
            if first and folder.exists(library):
                shutil.rmtree(place, ignore_errors=True)
                yield None
                return
            with first_model(
                source, place, bits=bits, exclude=exclude, held=held, jobs=jobs, listener=listener
            ) as found:
                yield found
    finally:
        if new:
            with suppress(OSError):  # it holds something: a library, or what a stopped run goes on with
                library.rmdir()

"""Who writes a library: one at a time, with the lock held and a migration that was just committed finished."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sightbook.catalogue import folder
from sightbook.catalogue.catalogue import Catalogue
from sightbook.catalogue.database import explained
from sightbook.catalogue.lock import waiting, writer_lock
from sightbook.progress import Listener, Notice, silent


@contextmanager
def writing(path: Path, wait: float = 0.0, listener: Listener = silent) -> Iterator[Catalogue]:
    """The catalogue of the library at `path`, open for writing. wait: seconds to wait for another writer to end.
    LibraryError when there is another one, no library, or a full or read-only disk."""
    if not (path / folder.JSON).exists():
        folder.read_facts(path)  # says why this is no library
    with explained(path), waiting(wait, lambda text: listener(Notice(text))), writer_lock(path):
        folder.read_facts(path)
        with closing(folder.open_catalogue(path)) as catalogue:
            yield catalogue

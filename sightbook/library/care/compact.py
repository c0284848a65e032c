"""`compact`: a LIBRARY without the space of what is gone, without leftovers, with a fresh cache."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from sightbook.catalogue import folder, soundness
from sightbook.catalogue.catalogue import NAME, Catalogue
from sightbook.catalogue.database import explained
from sightbook.catalogue.folder import Facts
from sightbook.catalogue.lock import writer_lock
from sightbook.catalogue.snapshot import FINE_NAME as FINE_CODES
from sightbook.catalogue.snapshot import NAME as CODES
from sightbook.catalogue.snapshot import load
from sightbook.errors import LibraryError


def compact(path: Path) -> tuple[int, int]:
    """Rewrites the catalogue without the space of deleted rows and drops the cache: bytes before and after.

    Searches go on meanwhile. LibraryError when another process writes.
    """
    folder.read_facts(path)
    with explained(path), writer_lock(path):
        before = folder.size(path)
        remove_leftovers(path)
        with contextlib.closing(folder.open_catalogue(path)) as catalogue:
            soundness.rewrite(catalogue)
            make_anew(path / "cache", catalogue, folder.read_facts(path))
        return before, folder.size(path)


def remove_leftovers(path: Path) -> int:
    """Removes temporary files of writers that were killed, and says how many; the lock says that none is at work."""
    left = [
        each for pattern in (".model.*", f".{folder.JSON}.*", f".{NAME}.*") for each in path.glob(pattern)
    ]
    with contextlib.suppress(LibraryError, FileNotFoundError), writer_lock(path / folder.LEARNING):
        left.append(path / folder.LEARNING)  # nobody is learning there
    left += [each for name in (CODES, FINE_CODES) for each in (path / "cache").glob(f".{name}.*")]
    for each in left:
        shutil.rmtree(each, ignore_errors=True) if each.is_dir() else each.unlink(missing_ok=True)
    return len(left)


def make_anew(cache: Path, catalogue: Catalogue, facts: Facts) -> None:
    """The engine's copy of all codes, from the catalogue."""
    for name in (CODES, FINE_CODES):
        (cache / name).unlink(missing_ok=True)
    load(catalogue, cache, facts.code_bytes, fine=True)

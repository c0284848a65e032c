"""What can be read of a damaged catalogue, saved into a new one.

Data flow: damaged catalogue → what SQLite still gives of each table, row by row where a range fails → a new catalogue
with the same ids → swapped in, the damaged one kept beside it. Pictures that were lost come back with the next `add`.
"""

from __future__ import annotations

import itertools
import shutil
import time
from pathlib import Path

from sightbook.catalogue import folder, rescue, soundness
from sightbook.catalogue.catalogue import NAME, Catalogue
from sightbook.catalogue.database import explained
from sightbook.catalogue.lock import writer_lock
from sightbook.errors import LibraryError
from sightbook.library.care.check import model_of


def salvage(path: Path) -> tuple[int, int]:
    """Saves what can be read of a damaged catalogue into a new one: (pictures, failures) saved.

    The damaged one stays beside it as catalogue.damaged-TIME.sqlite. Ids and codes are kept; pictures that were lost
    come back with the next `add`, as do those whose fine code was. LibraryError when nothing can be read, or the model
    is broken, too.
    """
    if not (path / folder.JSON).exists():
        folder.read_facts(path)  # says why this is no library
    with explained(path), writer_lock(path):
        facts, said = model_of(path)
        if facts is None:
            broken = next(finding.text for finding in said if finding.verdict == "broken")
            raise LibraryError(f"{path} cannot be salvaged: {broken}")
        fresh = path / f".{NAME}.salvaged"
        _remove(fresh)
        target = Catalogue.create(fresh, facts.fingerprint, facts.fine)
        try:
            counts = rescue.rescue(path / NAME, target, facts.code_bytes)
            soundness.flush(target)
        finally:
            target.close()
        if not counts["sources"]:
            _remove(fresh)
            raise LibraryError(
                f"nothing can be read of {path / NAME}: restore it from a copy, or build a new library from the sources"
            )
        stamp = time.strftime("%Y%m%d-%H%M%S")
        names = (path / f"catalogue.damaged-{stamp}{f'-{n}' if n else ''}.sqlite" for n in itertools.count())
        aside = next(name for name in names if not name.exists())
        # The damaged one is whole beside its place before that is touched, and the library never without a catalogue. A
        # write-ahead log would be played into whatever database stands beside it, so it goes before the new one comes.
        wal = Path(f"{path / NAME}-wal")
        shutil.copyfile(path / NAME, aside)
        if wal.exists():
            shutil.copyfile(wal, f"{aside}-wal")
        for suffix in ("-wal", "-shm"):
            Path(f"{path / NAME}{suffix}").unlink(missing_ok=True)
        fresh.replace(path / NAME)
        _remove(fresh)
        return counts["pictures"], counts["failures"]


def _remove(database: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)

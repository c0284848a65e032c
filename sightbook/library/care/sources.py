"""Are the sources of a library there, and are their pictures as they were?"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from sightbook.catalogue.catalogue import Catalogue
from sightbook.catalogue.rows import GOOD, Known, SourceRow
from sightbook.images.entry import noun, storable
from sightbook.images.kinds.registry import holds_files, holds_vectors
from sightbook.images.names import escape, to_native
from sightbook.ingest.scan import is_there
from sightbook.library.care.finding import Finding
from sightbook.words import counted

_NAMED = 5


def look_at_sources(catalogue: Catalogue) -> Iterator[Finding]:
    """A finding for each source, by sizes and times alone."""
    counts = catalogue.counts()
    for source in catalogue.sources():
        good = counts[source.id].good
        held = counted(good, noun(holds_vectors(source.kind))[:-1])
        if not is_there(source.root):
            yield Finding("source", "note", f"{source.root} is not there now: {held} can be found, not shown")
        elif not holds_files(source.kind):
            yield Finding("source", "ok", f"{source.root}: {held}")
        elif changed := sorted(_changed(source, catalogue.known(source.id))):
            named = ", ".join(map(escape, changed[:_NAMED])) + (" …" if len(changed) > _NAMED else "")
            yield Finding(
                "source",
                "note",
                f"{source.root}: {counted(len(changed), 'picture')} changed or went since the last `sightbook add` "
                f"({named})",
            )
        else:
            yield Finding("source", "ok", f"{source.root}: {counted(good, 'picture')} as they were")


def _changed(source: SourceRow, known: dict[str, Known]) -> Iterator[str]:
    for path, row in known.items():
        if row.id is not None and row.state == GOOD:
            with contextlib.suppress(OSError):
                status = os.stat(os.path.join(source.root, to_native(path)))  # noqa: PTH116, PTH118
                if (status.st_size, storable(status.st_mtime_ns)) == (row.size, row.mtime_ns):
                    continue
            yield path

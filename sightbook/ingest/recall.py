"""What was excluded from sources at earlier times, for those that stand at another place now."""

from __future__ import annotations

from collections.abc import Sequence

from sightbook.catalogue import remembered
from sightbook.catalogue.catalogue import Catalogue
from sightbook.images.entry import Entry
from sightbook.images.exclude import Excludes, below
from sightbook.images.left_out import Reason
from sightbook.images.source import Source


class Recalled:
    """The globs of each source that is known; none where they are to be forgotten."""

    def __init__(self, catalogue: Catalogue, forget: bool) -> None:
        self.globs = {} if forget else remembered.excludes(catalogue)

    def exclude(self, source: Source, id: str, found: Sequence[Entry] = (), prefix: str = "") -> list[Entry]:
        """Excludes from `source` what was excluded from the source `id`, whose pictures it holds now under `prefix`.
        Gives back those that were found already and are still taken.

        What is named by itself is meant, whatever was excluded.
        """
        if source.names is not None:
            return list(found)
        globs = [
            placed
            for glob in self.globs.get(id, ())
            for placed in (below(glob, prefix) if prefix else [glob])
            if placed not in source.exclude
        ]
        source.exclude = (*globs, *source.exclude)

        def left(reason: Reason, what: str, path: str) -> None:
            source.left_out.add(reason, what, source.of_kind.locate(str(source.root), path))

        return list(Excludes(globs).keep(found, left))

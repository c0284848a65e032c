"""Links to single files between sources: the picture is that of the source that holds the file itself."""

# Plain strings: as many paths as pictures.
# ruff: noqa: PTH114, PTH118

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from sightbook.catalogue.rows import Known, SourceRow
from sightbook.images.entry import Entry
from sightbook.images.names import to_native
from sightbook.ingest.takeover import TakeOver


def file_of(root: str, path: str) -> str:
    """The file itself, whatever links lead to it."""
    return os.path.realpath(os.path.join(root, to_native(path)))


def without_links(root: str, entries: Sequence[Entry], is_held: Callable[[str], bool]) -> list[Entry]:
    """The entries but those that are links to a file that another source holds."""
    return [
        entry for entry in entries if not (_is_link(root, entry.path) and is_held(file_of(root, entry.path)))
    ]


def links_to(
    root: str, known: dict[str, Known], entries: Sequence[Entry], row: SourceRow, theirs: Mapping[str, Known]
) -> TakeOver:
    """What `row` holds as links to files that are found here by themselves: those become pictures of this source. A
    link looks as its file does, so only equal sizes and times are looked at."""
    by_stat: dict[tuple[int, int], list[Entry]] = {}
    for entry in entries:
        by_stat.setdefault((entry.size, entry.mtime_ns), []).append(entry)
    taken = TakeOver(row)
    for path, other in theirs.items():
        alike = by_stat.get((other.size, other.mtime_ns), ())
        if other.id is None or not alike or not _is_link(row.root, path):
            continue
        file = file_of(row.root, path)
        for entry in alike:
            own = entry.path not in known and not _is_link(root, entry.path)
            if own and file_of(root, entry.path) == file:
                taken.rekeyed.append((other.id, entry.path))
                taken.pictures += 1
                known[entry.path] = other
                break
    return taken


def _is_link(root: str, path: str) -> bool:
    return os.path.islink(os.path.join(root, to_native(path)))

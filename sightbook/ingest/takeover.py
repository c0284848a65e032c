"""Pictures of one source that become those of another: what is rekeyed, what goes, and under which prefix they lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from sightbook.catalogue.catalogue import Catalogue
from sightbook.catalogue.rows import Known, SourceRow
from sightbook.images.entry import Entry
from sightbook.images.kinds.registry import holds_files

_SAMPLE = 64  # paths by which a prefix is looked for
_TRIED = 16  # prefixes that are counted out
_HALF = 2  # at least one in so many pictures of a source must be found again


@dataclass
class TakeOver:
    """Pictures of `row` that become pictures of another source.

    pictures: how many; rekeyed: (id, new path); doubles: ids whose file has an older id, which go; failures: (old path,
    new path).
    """

    row: SourceRow
    pictures: int = 0
    rekeyed: list[tuple[int, str]] = field(default_factory=list)
    doubles: list[int] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)

    def commit(self, catalogue: Catalogue, source: str) -> None:
        """Makes them pictures of that source."""
        catalogue.take_over(
            source, self.row.id, rekeyed=self.rekeyed, doubles=self.doubles, failures=self.failures
        )


def merge(known: dict[str, Known], theirs: Mapping[str, Known], row: SourceRow, prefix: str) -> TakeOver:
    """Adds the pictures of `row` to `known` under `prefix`; where both have a row of one file the older id stays."""
    taken = TakeOver(row)
    for path, other in theirs.items():
        place = prefix + path
        mine = known.get(place)
        kept = other
        taken.pictures += other.id is not None
        if other.id is None:
            kept = mine or other
        elif mine is None or mine.id is None:
            taken.rekeyed.append((other.id, place))
        elif other.id < mine.id:
            taken.doubles.append(mine.id)
            taken.rekeyed.append((other.id, place))
        else:
            taken.doubles.append(other.id)
            kept = mine
        failed = other if other.failed_size is not None else mine
        if other.failed_size is not None:
            taken.failures.append((path, place))
        if failed is not None:
            kept = kept._replace(failed_size=failed.failed_size, failed_mtime_ns=failed.failed_mtime_ns)
        known[place] = kept
    return taken


def shift(inner: Mapping[str, int], outer: Mapping[str, int], kind: str) -> str | None:
    """The prefix under which at least half of the paths of `inner` are paths of `outer`, of equal sizes. Only a folder
    can lie deeper in another one."""

    def common(prefix: str) -> int:
        return sum(outer.get(prefix + path) == size for path, size in inner.items())

    candidates: Counter[str] = Counter()
    if holds_files(kind):
        by_name: dict[tuple[str, int], list[str]] = {}
        for path, size in outer.items():
            by_name.setdefault((path.rpartition("/")[2], size), []).append(path)
        for path in list(inner)[:: max(1, len(inner) // _SAMPLE)]:
            for place in by_name.get((path.rpartition("/")[2], inner[path]), ())[:_SAMPLE]:
                if place.endswith(f"/{path}"):
                    candidates[place.removesuffix(path)] += 1
    # Where every folder has its IMG_0001.jpg, many prefixes fit some paths.
    best = max(["", *(prefix for prefix, _ in candidates.most_common(_TRIED))], key=common)
    return best if inner and _HALF * common(best) >= len(inner) else None


def sizes_of(known: Mapping[str, Known]) -> dict[str, int]:
    """Sizes of the pictures, by path; failures are none."""
    return {path: row.size for path, row in known.items() if row.id is not None}


def of_equal_size(known: Mapping[str, Known], entries: Mapping[str, Entry]) -> list[tuple[str, Entry]]:
    """The entries, by path, that are as large as the picture that is known there."""
    return [(path, each) for path, each in entries.items() if path in known and known[path].size == each.size]

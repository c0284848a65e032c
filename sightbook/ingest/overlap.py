"""One picture once: sources that reach the same folder, and a source that stands in another place now.

A picture is what its file is, not how it was reached. A folder is recognized by device and inode, so that links and
mounts make no second one of it; a source that has moved by its pictures' paths, sizes and contents.

Data flow: what a source holds (known paths, then those just found) → the folders it reaches → sources that begin there,
or that are gone and found here → a TakeOver: their pictures get keys of this source and keep ids, of two the older.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from sightbook.catalogue.catalogue import Catalogue
from sightbook.catalogue.rows import Known, SourceRow
from sightbook.images.entry import Entry
from sightbook.images.exclude import Excludes, below
from sightbook.images.kinds.registry import holds_files
from sightbook.images.names import to_text
from sightbook.images.sources import Source
from sightbook.ingest import inode
from sightbook.ingest.inode import Inode
from sightbook.ingest.links import links_to, without_links
from sightbook.ingest.recall import Recalled
from sightbook.ingest.same import has_same_content, is_equal
from sightbook.ingest.takeover import TakeOver, merge, of_equal_size, shift, sizes_of


class Overlaps:
    """The sources of a catalogue beside those that one `add` is given. recalled: what was excluded from them."""

    def __init__(self, catalogue: Catalogue, given: Iterable[Source], recalled: Recalled) -> None:
        self._catalogue, self._recalled = catalogue, recalled
        self._given = {source.id for source in given if source.names is None}
        self._rows = catalogue.sources()
        self.known = {row.id for row in self._rows}  # sources that the catalogue has
        self._gone = {row.id for row in self._rows if inode.is_gone(row.root)}
        self._inodes = {row.id: inode.of(row.root) for row in self._rows}
        self._folders: dict[str, dict[Inode, str]] = {}  # what `_folders_of` found
        self._taken: set[str] = set()
        self._reached: dict[Inode, Source] = {}
        self.moved: list[tuple[SourceRow, Source]] = []  # sources that keep their id at another root

    def place(self, source: Source) -> bool:
        """Makes `source` that part of a known one which it is, if it is one. False when it need not be gone through: it
        lies in another one that is given, too."""
        here = inode.of(source.root)
        if here is None:
            return True
        has_hidden = any(map(inode.is_hidden, source.names or ()))
        if here in self._reached and not has_hidden:
            return False
        for row in () if source.id in self.known else self._rows:
            if row.kind == source.kind and row.id not in self._taken and self._inodes[row.id] == here:
                # One file or folder, reached by another name: a mount.
                source.id, source.root = row.id, Path(row.root)
                self._recalled.exclude(source, row.id)
                break
        if source.kind != "folder" or has_hidden:
            return True
        best, id, root = "", source.id, source.root
        for row in self._rows:
            if row.kind != "folder" or row.id in self._taken | self._gone or self._inodes[row.id] == here:
                continue
            inside = self._folders_of(row).get(here, "")
            if len(inside) > len(best):
                best, id, root = inside, row.id, Path(row.root)
        if best:
            if id in self._given:
                return False
            source.id, source.root, source.inside = id, root, f"{best}/"
            own = [placed for glob in source.exclude for placed in below(glob, source.inside)]
            source.exclude = tuple(dict.fromkeys((*self._recalled.globs.get(id, ()), *own)))
            if source.names is not None:
                source.names = frozenset(source.inside + name for name in source.names)
        return True

    def take_known(self, source: Source, known: dict[str, Known]) -> list[TakeOver]:
        """Takes over what `source` is known to hold as well, by what is in the catalogue alone: doubles."""
        taken: list[TakeOver] = []
        if source.of_kind.files and known and self._has_folders_beside(source):
            taken = self._take_inner(source, known, inode.folders(str(source.root), known))
        added = next((row.added for row in self._rows if row.id == source.id), None)
        for row in self._others(source):
            if row.id not in self._gone or row.kind != source.kind or added is None:
                continue
            if row.scanned is None or row.scanned > added:
                continue  # both were there at one time: copies that somebody keeps
            theirs = self._catalogue.known(row.id)
            prefix = shift(sizes_of(theirs), sizes_of(known), row.kind)
            if prefix is not None and has_same_content(self._catalogue, known, theirs, prefix):
                taken.append(self._take(source, known, row, prefix))
        return taken

    def take_found(
        self, source: Source, known: dict[str, Known], fresh: list[Entry]
    ) -> tuple[list[TakeOver], list[Entry]]:
        """Takes over what the entries that `source` was not known to hold are in the catalogue as. Gives the entries
        back, without those that are pictures of another source that reaches the same folder."""
        taken: list[TakeOver] = []
        if source.of_kind.files and source.names is None and self._has_folders_beside(source):
            reached = inode.folders(str(source.root), [entry.path for entry in fresh])
            taken = self._take_inner(source, known, reached)
            fresh = self._not_elsewhere(source, known, reached, fresh)
        if source.of_kind.files:
            taken_links, fresh = self._links(source, known, fresh)
            taken += taken_links
        for row in self._others(source):
            if row.id not in self._gone or row.kind != source.kind:
                continue
            left = {entry.path: entry for entry in fresh if entry.path not in known}
            if not left:
                break
            theirs = self._catalogue.known(row.id)
            prefix = self._moved_to(theirs, left, row.kind)
            if prefix is None:
                taken += self._parts(source, known, row, theirs, left)
            elif prefix == "" and not known and source.names is None and source.id not in self.known:
                # The same source at another place: its keys stay, too.
                self._taken.add(row.id)
                self.moved.append((row, source))
                source.id = row.id
                known.update(theirs)
                fresh = self._recalled.exclude(source, row.id, fresh)
                fresh = [replace(entry, source=row.id) for entry in fresh]
                break
            else:
                fresh = self._recalled.exclude(source, row.id, fresh, prefix)
                taken.append(self._take(source, known, row, prefix))
        return taken, fresh

    def reach(self, source: Source, folders: Iterable[str]) -> None:
        """Notes the folders in which a whole source was found to hold pictures."""
        for each, folder in inode.folders(str(source.root), [f"{folder}x" for folder in folders]).items():
            if f"{folder}/".startswith(source.inside):
                other = self._reached.get(each)
                # A folder belongs to a source that leads to it rather than to the one that begins there.
                if other is None or (folder and not other.inside and inode.of(other.root) == each):
                    self._reached[each] = source

    def own(self, source: Source, new: list[Entry]) -> list[Entry]:
        """Of entries that nothing was known of those that are no links into another source that was gone through."""
        if source.kind != "folder" or all(other.id == source.id for other in self._reached.values()):
            return new

        def is_held(file: str) -> bool:
            folder, name = os.path.split(file)
            other = self._reached.get(inode.of(folder) or (-1, -1), source)
            return (
                other.id != source.id
                and not inode.is_hidden(name)
                and Excludes(other.exclude).fits(to_text(name)) is None
            )

        return without_links(str(source.root), new, is_held)

    def within(self, source: Source) -> bool:
        """Whether a source that was gone through lies in another one that was."""
        here = inode.of(source.root)
        return here is not None and self._reached.get(here, source) is not source

    def bystanders(self, given: Iterable[str]) -> list[SourceRow]:
        """Known folders that were not given and in which another known one lies: they may hold doubles."""
        seen = set(given) | self._taken
        rows = [row for row in self._rows if holds_files(row.kind)]
        return [
            row
            for row in rows
            if row.id not in seen and any(inode.below(other.root, row.root) is not None for other in rows)
        ]

    def _folders_of(self, row: SourceRow) -> dict[Inode, str]:
        """The folders that a known source reaches: looked for once, however many sources are held against it."""
        if row.id not in self._folders:
            self._folders[row.id] = inode.folders(row.root, self._catalogue.known(row.id))
        return self._folders[row.id]

    def _others(self, source: Source) -> list[SourceRow]:
        return [row for row in self._rows if row.id != source.id and row.id not in self._taken]

    def _has_folders_beside(self, source: Source) -> bool:
        return any(holds_files(row.kind) for row in self._others(source))

    def _take_inner(
        self, source: Source, known: dict[str, Known], reached: Mapping[Inode, str]
    ) -> list[TakeOver]:
        """All pictures of the sources that begin in a folder which this one reaches."""
        found = [(row, self._begins_at(source, row, reached)) for row in self._others(source)]
        return [self._take(source, known, row, prefix) for row, prefix in found if prefix is not None]

    def _begins_at(self, source: Source, row: SourceRow, reached: Mapping[Inode, str]) -> str | None:
        """Where in `source` the other source begins, as a prefix of paths; None: it does not."""
        if row.kind != "folder":
            return None
        here = inode.of(row.root)
        if here is not None:
            place = reached.get(here)
        else:  # it was a part of it before it went
            place = inode.below(row.root, str(source.root))
            place = place if place in reached.values() else None
        return None if place is None else f"{place}/" if place else ""

    def _take(self, source: Source, known: dict[str, Known], row: SourceRow, prefix: str) -> TakeOver:
        """All pictures of `row` under `prefix`, but those that a walk through `source` would leave out."""
        excludes = Excludes(source.exclude)
        theirs = self._catalogue.known(row.id)
        part = {path: each for path, each in theirs.items() if excludes.fits(prefix + path) is None}
        if row.id not in self._gone:
            part = {path: each for path, each in part.items() if not inode.is_hidden(path)}
        if len(part) == len(theirs):
            self._taken.add(row.id)
        return merge(known, part, row, prefix)

    def _links(
        self, source: Source, known: dict[str, Known], fresh: list[Entry]
    ) -> tuple[list[TakeOver], list[Entry]]:
        """What is found here as links to files of other sources, and what these hold as links to files found here."""
        root, find = str(source.root), self._catalogue.find
        rows = [row for row in self._others(source) if holds_files(row.kind) and row.id not in self._gone]
        if not rows:
            return [], fresh

        def is_held(file: str) -> bool:
            return any(
                (path := inode.below(file, row.root)) is not None
                and find(row.id, to_text(path)) != (None, False)
                for row in rows
            )

        fresh = without_links(root, fresh, is_held)
        taken = [links_to(root, known, fresh, row, self._catalogue.known(row.id)) for row in rows]
        return [each for each in taken if each.rekeyed], fresh

    def _parts(
        self,
        source: Source,
        known: dict[str, Known],
        row: SourceRow,
        theirs: Mapping[str, Known],
        left: Mapping[str, Entry],
    ) -> list[TakeOver]:
        """The other way round: `source` is a part of what has gone."""
        prefix = shift({path: entry.size for path, entry in left.items()}, sizes_of(theirs), row.kind)
        if prefix is None:
            return []
        pairs = of_equal_size(theirs, {prefix + path: entry for path, entry in left.items()})
        if not is_equal(self._catalogue, theirs, pairs):
            return []
        part = {path.removeprefix(prefix): theirs[path] for path, _ in pairs}
        taken = merge(known, part, row, "")
        if len(part) == len(theirs):
            self._taken.add(row.id)
        return [taken]

    def _moved_to(self, theirs: Mapping[str, Known], left: Mapping[str, Entry], kind: str) -> str | None:
        """The prefix under which the pictures of a source that has gone are among these entries."""
        prefix = shift(sizes_of(theirs), {path: entry.size for path, entry in left.items()}, kind)
        if prefix is None:
            return None
        inner = {path: left[prefix + path] for path in theirs if prefix + path in left}
        return prefix if is_equal(self._catalogue, theirs, of_equal_size(theirs, inner)) else None

    def _not_elsewhere(
        self, source: Source, known: Mapping[str, Known], reached: Mapping[Inode, str], fresh: list[Entry]
    ) -> list[Entry]:
        """Leaves out what another source holds that reaches one of the same folders, though neither lies in the other:
        the one that was there first keeps it."""
        held: set[str] = set()
        for row in self._others(source):
            if row.kind != "folder" or row.id in self._gone:
                continue
            both = [
                (folder, reached[each]) for each, folder in self._folders_of(row).items() if each in reached
            ]
            theirs = self._catalogue.known(row.id) if both else {}
            for folder, place in both:
                prefix, target = (f"{name}/" if name else "" for name in (folder, place))
                held.update(
                    target + path.removeprefix(prefix)
                    for path in theirs
                    if path.startswith(prefix) and "/" not in path[len(prefix) :]
                )
        return [entry for entry in fresh if entry.path not in held or entry.path in known]

"""Finding the pictures of a folder: any depth, stable order, no loops."""

# Plain strings: a walk touches a hundred thousand paths, and Path objects would double its time.
# ruff: noqa: PTH116, PTH122, PTH206

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from sightbook.errors import SourceError
from sightbook.images.names import shown, to_text

PICTURE_SUFFIXES = frozenset(
    (
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".webp",
        ".gif",
        ".bmp",
        ".tif",
        ".tiff",
        ".heic",
        ".heif",
        ".avif",
    )
)


def is_picture_name(name: str) -> bool:
    """Whether a file of this name is taken for a picture: a known suffix, in any case, and not hidden."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES


@dataclass(frozen=True, slots=True)
class Found:
    """A picture file: `path` relative to the root, POSIX style, valid Unicode (see names.py)."""

    path: str
    size: int
    mtime_ns: int


@dataclass(slots=True)
class Walk:
    """One walk through a folder, in code-point order of the relative POSIX paths.

    Hidden files and folders are left out. Linked files are pictures like others. A linked folder is followed once, and
    only when its target is not part of the walk anyway, so that no loop and no picture twice comes from links.
    `problems` gathers one sentence for each sub-folder that could not be read: the walk goes on without it.
    """

    root: str
    problems: list[str] = field(default_factory=list)
    _seen: set[tuple[int, int]] = field(default_factory=set)
    _real_root: str = ""

    def __iter__(self) -> Iterator[Found]:
        """Yields each picture; raises SourceError when the root itself is gone or unreadable."""
        self.problems.clear()
        self._real_root = os.path.realpath(self.root)
        try:
            status = os.stat(self.root)
            self._seen = {(status.st_dev, status.st_ino)}
            entries = _listed(self.root)
        except OSError as error:
            raise SourceError(
                f"The folder {shown(self.root)} cannot be read ({error.strerror}): is its drive mounted?"
            ) from error
        yield from self._folder(entries, "")

    def _folder(self, entries: list[tuple[str, os.DirEntry[str]]], prefix: str) -> Iterator[Found]:
        begun = [(iter(entries), prefix)]  # no function calls itself: folders lie deeper than Python's stack
        while begun:
            rest, prefix = begun[-1]
            name, entry = next(rest, ("", None))
            if entry is None:
                begun.pop()
                continue
            if name.endswith("/"):
                inside = self._enter(entry, prefix + name)
                if inside is not None:
                    begun.append((iter(inside), prefix + name))
                continue
            try:
                status = entry.stat()
            except OSError:
                # A dangling link, or a file that vanished just now: reading it will say so, for this one picture.
                yield Found(prefix + name, 0, 0)
                continue
            if stat.S_ISREG(status.st_mode):  # a named pipe called x.jpg would block its reader forever
                yield Found(prefix + name, status.st_size, status.st_mtime_ns)

    def _enter(self, entry: os.DirEntry[str], path: str) -> list[tuple[str, os.DirEntry[str]]] | None:
        """The sorted content of a sub-folder, or None when it is not to be walked."""
        try:
            if entry.is_symlink() and self._reached_anyway(entry.path):
                return None
            status = entry.stat() if os.name != "nt" else os.stat(entry.path)
            identity = (status.st_dev, status.st_ino)
            if identity in self._seen:
                return None
            self._seen.add(identity)
            return _listed(entry.path)
        except OSError as error:
            self.problems.append(
                f"The folder {shown(path)} in {shown(self.root)} cannot be read ({error.strerror}); "
                "its pictures are left out."
            )
            return None

    def _reached_anyway(self, link: str) -> bool:
        """Whether a link's target contains the root (a loop) or lies in the part of it that is walked."""
        target = os.path.realpath(link)
        if target == self._real_root or self._real_root.startswith(target.rstrip(os.sep) + os.sep):
            return True
        below = self._real_root.rstrip(os.sep) + os.sep
        if not target.startswith(below):
            return False
        return not any(part.startswith(".") for part in target[len(below) :].split(os.sep))


def _listed(folder: str) -> list[tuple[str, os.DirEntry[str]]]:
    """Sub-folders (their name ends with '/') and pictures of one folder, sorted.

    With the slash, sorting each folder by itself gives the code-point order of whole paths: 'a-b/x' < 'a.jpg' < 'a/x'.
    """
    named: list[tuple[str, os.DirEntry[str]]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                named.append((to_text(entry.name) + "/", entry))
            elif is_picture_name(entry.name):
                named.append((to_text(entry.name), entry))
    named.sort(key=lambda pair: pair[0])
    return named


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into a place that may not be looked at
        return False

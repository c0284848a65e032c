"""Finding the pictures of a folder: any depth, stable order, no loops."""

# Plain strings: a walk touches a hundred thousand paths, and Path objects would double its time.
# ruff: noqa: PTH116, PTH122, PTH206

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from sightbook.errors import SourceError
from sightbook.images.entry import EmptySource, storable
from sightbook.images.left_out import Left, Reason, ignore
from sightbook.images.names import escape, to_text
from sightbook.images.ours import MARKS, folder_of_ours

# Every name that programs and cameras give to files of the formats that decode.py reads.
PICTURE_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".pjpeg", ".pjp", ".mpo", ".jps", ".insp"),
        *(".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
        *(".heic", ".heif", ".hif", ".heics", ".heifs", ".avif", ".avifs"),
    )
)
_LONGEST_SUFFIX = 12  # what follows the last dot of "Trip to St. Petersburg" is none
# What systems keep for themselves: a NAS its thumbnails, a disk what was thrown away or what root alone may enter.
_OF_SYSTEMS = frozenset(
    ("@eaDir", "#recycle", "#snapshot", "$RECYCLE.BIN", "System Volume Information", "lost+found", "__MACOSX")
)


def is_hidden(name: str) -> bool:
    """Whether a walk passes over what is called so."""
    return name.startswith(".") or name in _OF_SYSTEMS


def is_picture_name(name: str) -> bool:
    """Whether a file of this name is taken for a picture: a known suffix, in any case, and not hidden."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES


def suffix_of(name: str) -> str:
    """The suffix that a file is counted under, in small letters; "" for none."""
    suffix = os.path.splitext(name)[1].lower()
    return suffix if 1 < len(suffix) <= _LONGEST_SUFFIX and " " not in suffix else ""


@dataclass(frozen=True, slots=True)
class Found:
    """A picture file: `path` relative to the root, POSIX style, valid Unicode (see names.py)."""

    path: str
    size: int
    mtime_ns: int


@dataclass(slots=True)
class Walk:
    """One walk through a folder, in code-point order of the relative POSIX paths.

    Hidden files and folders, and those that systems keep for themselves, are left out. Linked files are pictures like
    others. A linked folder is followed once, and only when its target is not part of the walk anyway, so that no loop
    and no picture twice comes from links. Folders that sightbook made itself are left out (`ours`). `problems` gathers
    one sentence for each sub-folder that could not be read: the walk goes on without it. `left` hears of everything
    that is left out.
    """

    root: str
    left: Left = ignore
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
            entries, ours = _list(self.root, "", self.left)
        except OSError as error:
            raise SourceError(
                f"The folder {escape(self.root)} cannot be read ({error.strerror}): is its drive mounted?"
            ) from error
        if ours is not None:
            raise EmptySource(
                f"The folder {escape(self.root)} is a {ours} that sightbook made, no source of pictures: give the "
                "folder that holds the pictures themselves."
            )
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
                yield Found(prefix + name, status.st_size, storable(status.st_mtime_ns))
            else:
                self.left("special", "thing that is no plain file", prefix + name)

    def _enter(self, entry: os.DirEntry[str], path: str) -> list[tuple[str, os.DirEntry[str]]] | None:
        """The sorted content of a sub-folder, or None when it is not to be walked."""
        try:
            if entry.is_symlink() and self._reached_anyway(entry.path):
                self.left("link", "link to a folder that is walked anyway", path)
                return None
            status = entry.stat() if os.name != "nt" else os.stat(entry.path)
            identity = (status.st_dev, status.st_ino)
            if identity in self._seen:
                self.left("link", "link to a folder that is walked anyway", path)
                return None
            self._seen.add(identity)
            entries, ours = _list(entry.path, path, self.left)
            if ours is None:
                return entries
            self.left("ours", f"{ours} of sightbook", path)
            return None
        except OSError as error:
            self.problems.append(
                f"The folder {escape(path)} in {escape(self.root)} cannot be read ({error.strerror}); "
                "its pictures are left out."
            )
            self.left("unreadable", "", path)
            return None

    def _reached_anyway(self, link: str) -> bool:
        """Whether a link's target contains the root (a loop) or lies in the part of it that is walked."""
        target = os.path.realpath(link)
        if target == self._real_root or self._real_root.startswith(target.rstrip(os.sep) + os.sep):
            return True
        below = self._real_root.rstrip(os.sep) + os.sep
        if not target.startswith(below):
            return False
        return not any(map(is_hidden, target[len(below) :].split(os.sep)))


_Listed = tuple[list[tuple[str, os.DirEntry[str]]], str | None]


def _list(folder: str, prefix: str, left: Left) -> _Listed:
    """Sub-folders (their name ends with '/') and pictures of one folder, sorted; and MODEL or LIBRARY where it is one.

    With the slash, sorting each folder by itself gives the code-point order of whole paths: 'a-b/x' < 'a.jpg' < 'a/x'.
    """
    named: list[tuple[str, os.DirEntry[str]]] = []
    others: list[tuple[Reason, str, str]] = []
    marks = []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if is_hidden(name):
                others.append(("hidden", "", name))
            elif _is_folder(entry):
                named.append((to_text(name) + "/", entry))
            elif is_picture_name(name):
                named.append((to_text(name), entry))
            else:
                others.append(("suffix", suffix_of(name), name))
                if name in MARKS:
                    marks.append(name)
    if len(marks) > 1 and (ours := folder_of_ours(folder, marks)) is not None:
        return [], ours
    for reason, what, name in sorted(others):
        left(reason, to_text(what), prefix + to_text(name))
    named.sort(key=lambda pair: pair[0])
    return named, None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into a place that may not be looked at
        return False

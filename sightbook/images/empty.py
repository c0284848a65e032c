"""Why there is nothing to take where somebody named a source, and what to name instead."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from sightbook.errors import SourceError
from sightbook.images.entry import EmptySource
from sightbook.images.find import PICTURE_SUFFIXES, Walk
from sightbook.images.left_out import LeftOut, Reason, sentence
from sightbook.images.names import escape
from sightbook.words import counted

_LOOKED_AT = 100_000  # archives that a proposal is made from
_POINTER = b"version https://git-lfs.github.com/spec/"


def refuse_hollow(path: Path) -> None:
    """Raises EmptySource for a file of 0 bytes, SourceError for one that stands for another which was not fetched."""
    try:
        with path.open("rb") as file:
            begin = file.read(len(_POINTER))
    except OSError:
        return  # the reader that follows says why
    if not begin:
        raise EmptySource(f"The file {quote(path)} is empty, 0 bytes: check that it is the right one.")
    if begin == _POINTER:
        raise SourceError(
            f"The file {quote(path)} is a pointer of Git LFS, its content was not fetched: run `git lfs pull` in the "
            "clone."
        )


def nothing_in(root: Path, suffixes: Sequence[str]) -> str:
    """Why a folder is no source; archives in it, at any depth, are proposed: which of them are meant is the user's.
    suffixes: of archives."""
    left = LeftOut()
    archives: list[str] = []

    def note(reason: Reason, what: str, path: str) -> None:
        left.add(reason, what, path)
        if reason == "suffix" and len(archives) < _LOOKED_AT and what in suffixes:
            archives.append(path)

    for _ in Walk(str(root), note):
        pass
    if archives:
        what = max(suffixes, key=[Path(path).suffix.lower() for path in archives].count)
        some = [path for path in archives if path.lower().endswith(what)]
        folders = {path.rpartition("/")[0] for path in some}
        pattern = (f"{folders.pop()}/" if len(folders) == 1 else "**/").lstrip(
            "/"
        ) + f"*{Path(some[0]).suffix}"
        among = f"{glob.escape(str(root))}/{pattern}"
        return (
            f"There are no picture files in the folder {quote(root)}, but {counted(len(archives), 'archive')} such "
            f"as {escape(archives[0])}: give {quote(among)}."
        )
    known = " ".join(sorted(PICTURE_SUFFIXES))
    held = f"; it holds {sentence(left.groups)}" if left else ""
    return f"There are no pictures ({known}) in the folder {quote(root)}{held}: check the path."


def quote(path: str | Path) -> str:
    """A path in a sentence."""
    return f"'{escape(os.fspath(path))}'"

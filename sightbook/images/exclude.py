"""What a user excludes from a source: globs of names, folders and paths."""

# Plain strings, as in the other kinds of sources.
# ruff: noqa: PTH100, PTH111, PTH118, PTH119, PTH120

from __future__ import annotations

import glob as glob_module
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from sightbook.images.entry import Entry
from sightbook.images.left_out import Left
from sightbook.images.names import to_text
from sightbook.images.patterns import compile_glob, compose, readings


class Excludes:
    """The globs of one source. Each is read as literally as something in the source allows (`patterns.readings`), which
    is known only when all of it was seen.

    `drafts` and `*.gif` match in every folder, `2019/drafts` from the root; `*` crosses `/`.
    """

    def __init__(self, globs: Sequence[str]) -> None:
        self._globs = {each: [compile_glob(reading) for reading in readings(each)] for each in globs}
        self._fitting: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._globs)

    @property
    def unfit(self) -> list[str]:
        """The globs that fitted nothing so far."""
        return [each for each in self._globs if each not in self._fitting]

    def fits(self, path: str) -> str | None:
        """The glob, in any of its readings, that fits something which is not taken anyway."""
        names = _names(path)
        for each, patterns in self._globs.items():
            if any(pattern.match(name) for pattern in patterns for name in names):
                self._fitting.add(each)
                return each
        return None

    def keep(self, entries: Iterable[Entry], left: Left) -> Iterator[Entry]:
        """The entries that no glob fits; `left` hears of the others."""
        if any(len(patterns) > 1 for patterns in self._globs.values()):
            entries = list(entries)
            for each, patterns in self._globs.items():
                self._globs[each] = [_choose(patterns, entries)]
        for entry in entries:
            names = _names(entry.path)
            for each, (pattern, *_) in self._globs.items():
                if any(pattern.match(name) for name in names):
                    self._fitting.add(each)
                    left("excluded", each, entry.path)
                    break
            else:
                yield entry


def _choose(patterns: list[re.Pattern[str]], entries: Sequence[Entry]) -> re.Pattern[str]:
    """The most literal reading that fits something, else the loosest."""
    for pattern in patterns[:-1]:
        if any(pattern.match(name) for entry in entries for name in _names(entry.path)):
            return pattern
    return patterns[-1]


def _names(path: str) -> list[str]:
    """What a path goes by: each of its parts, and every folder on it from the root."""
    parts = compose(path).split("/")
    return [*parts, *("/".join(parts[: i + 1]) for i in range(1, len(parts)))]


def within(glob: str, root: str) -> str:
    """The glob as seen from the source's root: a path that a shell completed, absolute or from the present folder,
    means what it names there. "" for one that names nothing."""
    text = to_text(os.path.expanduser(glob))
    here = to_text(os.path.realpath(".")) + "/"
    below = to_text(root).rstrip("/") + "/"
    if "/" in text.rstrip("/") and (text.startswith("/") or not here.startswith(below)):
        absolute = os.path.abspath(text)
        real = os.path.join(os.path.realpath(os.path.dirname(absolute)), os.path.basename(absolute))
        for place in (absolute, real):
            if place.startswith(below):
                return place[len(below) :]
    text = text.removeprefix("./").strip("/")
    while text.startswith("**/"):
        text = text[3:]
    return text.strip("/")


def below(glob: str, folder: str) -> list[str]:
    """A glob of what lies in `folder` (a path that ends with '/'), as globs from the root that the folder lies in."""
    here = glob_module.escape(folder)
    return [here + glob] if "/" in glob else [here + glob, f"{here}*/{glob}"]


# Globs for every source as they were typed, or for each by its root, as seen from there.
Exclude = Sequence[str] | Mapping[Path, Sequence[str]]


def of_root(exclude: Exclude, root: Path) -> tuple[str, ...]:
    """The globs of one source, from its root."""
    if isinstance(exclude, Mapping):
        return tuple(exclude.get(root, ()))
    return tuple(dict.fromkeys(found for each in exclude if (found := within(each, str(root)))))

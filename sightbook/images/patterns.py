"""Patterns as people type them: what is the name of something is that thing, and only else a pattern.

`IMG [1].jpg` is a file that many programs make, and to `glob` it is `IMG 1.jpg`. So a text is read in up to three ways,
the most literal first: as a name, with brackets that stand for themselves, as the whole pattern.
"""

# Plain strings, as in the other kinds of sources.
# ruff: noqa: PTH111, PTH207

from __future__ import annotations

import fnmatch
import glob
import os
import re
import unicodedata
from collections.abc import Iterator

from sightbook.errors import SourceError
from sightbook.images.names import escape, to_text

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_CHOICE = re.compile(r"\{([^{}]*,[^{}]*)\}")
_MOST = 100_000  # members of one pattern in braces


def readings(pattern: str) -> list[str]:
    """The patterns that a text may stand for, the most literal first; in the syntax of `glob`, `fnmatch` and SQLite."""
    return list(dict.fromkeys((glob.escape(pattern), pattern.replace("[", "[[]"), pattern)))


def compile_glob(pattern: str) -> re.Pattern[str]:
    """A regular expression for the whole of a name in composed characters; `*` crosses `/`."""
    return re.compile(fnmatch.translate(compose(pattern)))


def compose(name: str) -> str:
    """One spelling of a name: macOS writes `é` as two characters where people type one."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def is_pattern(text: str) -> bool:
    """Whether the text can stand for several names."""
    return glob.has_magic(text) or bool(_RANGE.search(text) or _CHOICE.search(text))


def matches(text: str) -> list[str]:
    """The paths that a pattern stands for, sorted; those in braces (`{000..009}`, `{train,test}`) in the order given.

    Raises SourceError when a member of braces that is no pattern itself is not there: it was named.
    """
    found: dict[str, None] = {}
    absent: list[str] = []
    members = _expand(os.path.expanduser(text))
    for member in members:
        here = _expand_glob(member)
        if not here and len(members) > 1 and not glob.has_magic(member):
            absent.append(member)
        found.update(dict.fromkeys(here))
    if absent and found:
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        raise SourceError(
            f"The pattern '{escape(text)}' names '{escape(absent[0])}'{more}, which is not there: check the numbers."
        )
    return list(found)


def _expand(text: str) -> list[str]:
    """A pattern without braces for each of their members."""
    done: list[str] = []
    waiting = [text]
    while waiting:
        each = waiting.pop()
        found = _RANGE.search(each) or _CHOICE.search(each)
        if found is None or os.path.lexists(each):
            done.append(each)
            continue
        before, after = each[: found.start()], each[found.end() :]
        waiting += [before + member + after for member in reversed(list(_members(found)))]
        if len(done) + len(waiting) > _MOST:
            raise SourceError(f"The pattern '{escape(text)}' has more than {_MOST:,} members: name fewer.")
    return done


def _members(found: re.Match[str]) -> Iterator[str]:
    if found.re is _CHOICE:
        yield from found[1].split(",")
        return
    first, last = int(found[1]), int(found[2])
    width = max(len(found[1]), len(found[2])) if "0" in (found[1][0], found[2][0]) else 0
    if abs(last - first) >= _MOST:
        raise SourceError(f"The pattern '{escape(found[0])}' has more than {_MOST:,} members: name fewer.")
    step = 1 if last >= first else -1
    for number in range(first, last + step, step):
        yield str(number).zfill(width)


def _expand_glob(text: str) -> list[str]:
    """What one pattern matches: folders that are there by their very name are no patterns, nor are brackets where
    something has them in its name."""
    base, rest = "", text
    while "/" in rest or os.sep in rest:
        head, _, tail = rest.partition("/")
        if not os.path.lexists(base + head + "/"):
            break
        base, rest = base + head + "/", tail
    for reading in readings(rest):
        for spelling in dict.fromkeys(
            (reading, unicodedata.normalize("NFC", reading), unicodedata.normalize("NFD", reading))
        ):
            found = glob.glob(glob.escape(base) + spelling, recursive=True)
            if found:
                return sorted(found, key=to_text)
    return []

"""What `remove` is asked to take, resolved against the catalogue."""

from __future__ import annotations

# Plain strings: a Path drops the slash that a shell puts at the end, and has no realpath of what is not there.
# ruff: noqa: PTH100, PTH109, PTH111, PTH118
import glob
import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast

import numpy as np

from sightbook.catalogue.catalogue import Catalogue
from sightbook.catalogue.ids import id_of, ids_of, is_number
from sightbook.errors import ConfigError, LibraryError
from sightbook.images.names import escape, to_text

# An id, a key (source, path), or a text that names pictures or a source.
Wanted = str | int | tuple[str, str]
Selected = tuple[set[int], set[tuple[str, str]], set[str]]


def parse(what: Wanted | os.PathLike[str] | Iterable[Wanted]) -> list[Wanted]:
    """One thing or several, as users hand them over; numbers become ids. ConfigError for what names nothing."""
    if isinstance(what, str | os.PathLike) or _is_key(what) or is_number(what):
        return [_parse(what)]
    if isinstance(what, bytes) or not isinstance(what, Iterable):
        raise ConfigError(
            f"{type(what).__name__} names nothing: give ids, keys (source, path), or texts, one or a list of them"
        )
    if isinstance(what, np.ndarray) and what.dtype.kind in "biufc":
        return [int(id) for id in ids_of(what.reshape(-1), "what is to be removed")]
    return [_parse(each) for each in what]


def _parse(each: object) -> Wanted:
    if isinstance(each, os.PathLike):
        return os.fsdecode(each)
    if isinstance(each, str) or _is_key(each):
        return cast("Wanted", each)
    return id_of(each, "what is to be removed")


def _is_key(what: object) -> bool:
    return isinstance(what, tuple) and len(what) == 2 and all(isinstance(part, str) for part in what)


def select(catalogue: Catalogue, library: Path, asked: Sequence[Wanted]) -> Selected:
    """(picture ids, keys of failures, source ids) that `asked` names; LibraryError for one that names nothing."""
    numbers = {item for item in asked if isinstance(item, int)}
    ids = set(catalogue.keys(sorted(numbers)))
    failed: set[tuple[str, str]] = set()
    sources: set[str] = set()
    for item in asked:
        found = ({item} & ids, set(), set()) if isinstance(item, int) else _find(catalogue, item)
        if not any(found):
            raise LibraryError(
                f"nothing in {library} matches {item!r}: give a path as `sightbook search` shows it, a pattern in "
                "quotes, or a source of `sightbook status`"
            )
        ids |= found[0]
        failed |= found[1]
        sources |= found[2]
    return ids, failed, sources


def _find(catalogue: Catalogue, item: str | tuple[str, str]) -> Selected:
    if not _is_text("".join(item)):
        return set(), set(), set()
    if isinstance(item, tuple):
        id, has_failed = catalogue.find(to_text(item[0]), item[1])
        return set() if id is None else {id}, {item} if has_failed else set(), set()
    roots = {
        row.id: {root.rstrip("/") for root in (row.root, to_text(row.root))} for row in catalogue.sources()
    }

    def find_named(text: str) -> Selected:
        whole = {id for id, names in roots.items() if text == id or text.rstrip("/") in names}
        return (set(), set(), whole) if whole else (*catalogue.match(text), set())

    shown = find_named(item)
    if any(shown) and glob.has_magic(item):
        return shown  # a pattern is of the library's paths, and fits whatever it fits
    here = next((found for text in _spellings(item) if any(found := find_named(text))), shown)
    if any(shown) and here != shown and not _same(catalogue, here, shown):
        raise LibraryError(
            f"{item!r} is a path in the library and another one from the current folder: give the whole path, or a "
            "source of `sightbook status`"
        )
    # A source is one thing whatever else is called so.
    for text in () if here[2] else (item, *_spellings(item)):
        if len(several := catalogue.roots_with(text)) > 1:
            raise LibraryError(
                f"{item!r} is in several sources ({escape(', '.join(several))}): give the whole path, or a pattern in "
                "quotes for all"
            )
    return here


def _is_text(item: str) -> bool:
    """Whether this may name something: no name holds half a character of UTF-16."""
    try:
        os.fsencode(item)
    except UnicodeEncodeError:
        return False
    return True


def _same(catalogue: Catalogue, one: Selected, other: Selected) -> bool:
    """Whether two selections come to the same pictures: a source is all of its own."""
    keys = [catalogue.keys(sorted(ids)) for ids, _, _ in (one, other)]
    return False if one[2] != other[2] else keys[0] == keys[1] and one[1] == other[1]


def _spellings(item: str) -> Iterator[str]:
    """The text as a path that a shell completes: relative to the current folder, from the home folder, through a link,
    and in either Unicode normalization."""
    if not item or "\0" in item:
        return
    here = os.path.abspath(os.path.expanduser(item))
    texts = [item, here, os.path.realpath(here)]
    if glob.has_magic(item):  # a folder above may be called "[old]", which is no pattern then
        texts += [
            os.path.join(glob.escape(place), item) for place in (os.getcwd(), os.path.realpath(os.getcwd()))
        ]
    forms = [
        form
        for text in map(to_text, texts)
        for form in (text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text))
    ]
    yield from (form for form in dict.fromkeys(forms) if form != item)

"""Words of sentences, a number with its noun; rows as aligned text."""

from __future__ import annotations

import re
from collections.abc import Sequence

_PLURALS = {"query": "queries", "class": "classes", "batch": "batches", "process": "processes"}
_MORE = re.compile(" (of|to|that) ")

_SINGULARS = {"are": "is", "were": "was", "have": "has", "count": "counts", "serve": "serves"}


def counted(count: int, noun: str) -> str:
    """'1 picture', '2 pictures', '1,000 queries', '2 links to a folder'; see `plural`."""
    return f"{count:,} {plural(noun, count)}"


def plural(noun: str, count: int = 2) -> str:
    """The noun as it follows a number: its last word, or the last one before `of`, `to`, `that`, takes the plural, and
    so does the one before `or`."""
    if count == 1:
        return noun
    end = _MORE.search(noun)
    head, more = (noun[: end.start()], noun[end.start() :]) if end else (noun, "")
    return " or ".join(_several(each) for each in head.split(" or ")) + more


def _several(noun: str) -> str:
    before, space, last = noun.rpartition(" ")
    return before + space + _PLURALS.get(last, last + "s")


def verb(count: int, several: str) -> str:
    """The verb as it follows a number: 'are' and 'is', 'were' and 'was', 'have' and 'has'."""
    return several if count != 1 else _SINGULARS[several]


def none_read(count: int, noun: str, where: str = "") -> str:
    """'none of the 2 pictures in x could be read', 'the only picture in x could not be read'."""
    place = f" in {where}" if where else ""
    if count == 1:
        return f"the only {noun}{place} could not be read"
    return f"none of the {counted(count, noun)}{place} could be read"


def columns(rows: Sequence[Sequence[str]], *, indent: str = "", right: tuple[int, ...] = ()) -> str:
    """Rows of equally many cells as aligned text; the columns numbered in `right` are right-aligned."""
    if not rows:
        return ""
    widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append((indent + "  ".join(cells)).rstrip())
    return "\n".join(lines)

"""Words of sentences: a number with its noun."""

from __future__ import annotations

_PLURALS = {"query": "queries", "class": "classes", "batch": "batches", "process": "processes"}

_SINGULARS = {"are": "is", "were": "was", "have": "has", "count": "counts", "serve": "serves"}


def counted(count: int, noun: str) -> str:
    """'1 picture', '2 pictures', '1,000 queries'; the noun's last word takes the plural."""
    return f"{count:,} {plural(noun, count)}"


def plural(noun: str, count: int = 2) -> str:
    """The noun as it follows a number."""
    before, space, last = noun.rpartition(" ")
    return noun if count == 1 else before + space + _PLURALS.get(last, last + "s")


def verb(count: int, several: str) -> str:
    """The verb as it follows a number: 'are' and 'is', 'were' and 'was', 'have' and 'has'."""
    return several if count != 1 else _SINGULARS[several]


def none_read(count: int, noun: str, where: str = "") -> str:
    """'none of the 2 pictures in x could be read', 'the only picture in x could not be read'."""
    place = f" in {where}" if where else ""
    if count == 1:
        return f"the only {noun}{place} could not be read"
    return f"none of the {counted(count, noun)}{place} could be read"

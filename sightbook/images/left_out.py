"""What a source holds and is not taken, by reason: counted all, named the first of each.

A user who finds fewer pictures than there are files must not have to guess why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sightbook.words import counted

Reason = Literal["suffix", "hidden", "excluded", "link", "special", "unreadable", "ours", "empty", "label"]

NAMED = 1000  # of each reason; more than a thousand names nobody reads, and a million take memory
_SUFFIXES = 6  # said in the line


@dataclass
class Group:
    """What was left out for one reason. what: the suffix, the pattern, what kind of thing of ours it is."""

    reason: Reason
    what: str
    count: int = 0
    names: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Group:
        """From plain types, as they are kept."""
        return cls(content["reason"], content["what"], content["count"], list(content["names"]))


class LeftOut:
    """Groups of what was left out."""

    def __init__(self, groups: Iterable[Group] = ()) -> None:
        self._groups: dict[tuple[Reason, str], Group] = {}
        for group in groups:
            self.merge(group)

    def add(self, reason: Reason, what: str, name: str) -> None:
        """One more."""
        key = (reason, what)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(reason, what)
        group.count += 1
        if len(group.names) < NAMED:
            group.names.append(name)

    def merge(self, other: Group) -> None:
        """All of another group."""
        mine = self._groups.setdefault((other.reason, other.what), Group(other.reason, other.what))
        mine.count += other.count
        mine.names += other.names[: max(0, NAMED - len(mine.names))]

    def clear(self) -> None:
        self._groups.clear()

    @property
    def groups(self) -> list[Group]:
        """By reason in a fixed order, the largest first."""
        order = list(_WORDS)
        return sorted(
            self._groups.values(), key=lambda group: (order.index(group.reason), -group.count, group.what)
        )

    def __bool__(self) -> bool:
        return bool(self._groups)


def sentence(groups: Iterable[Group]) -> str:
    """'11 .arw, 2 .txt, 3 hidden, 4 by --exclude drafts', or nothing."""
    found = list(groups)
    suffixes = [group for group in found if group.reason == "suffix"]
    said = [_words(group) for group in suffixes[:_SUFFIXES]]
    rest = sum(group.count for group in suffixes[_SUFFIXES:])
    if rest:
        said.append(f"{rest:,} of other suffixes")
    return ", ".join([*said, *(_words(group) for group in found if group.reason != "suffix")])


def title(group: Group) -> str:
    """The group in a few words, to stand above its names."""
    return _words(group)


# In the order of the line; {what} as the group says it.
_WORDS: dict[Reason, str] = {
    "suffix": "{what}",
    "hidden": "hidden",
    "excluded": "by --exclude {what}",
    "link": "{what}",
    "special": "{what}",
    "unreadable": "that cannot be entered",
    "ours": "{what}",
    "empty": "empty {what}",
    "label": "without a label",
}
_NOUNS: dict[Reason, str] = {"unreadable": "folder"}


def _words(group: Group) -> str:
    if group.reason in ("link", "special", "ours"):
        return counted(group.count, group.what)
    if group.reason == "empty":
        return counted(group.count, f"empty {group.what}")
    words = _WORDS[group.reason].format(what=group.what or "without a suffix")
    noun = _NOUNS.get(group.reason)
    return f"{counted(group.count, noun)} {words}" if noun else f"{group.count:,} {words}"

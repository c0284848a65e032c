"""What a source holds and is not taken, by reason: counted all, named the first of each.

A user who finds fewer pictures than there are files must not have to guess why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from sightbook.words import counted

Reason = Literal["suffix", "hidden", "excluded", "link", "special", "unreadable", "ours", "empty", "label"]

# (reason, what, path within the source) of something that is not taken.
Left = Callable[[Reason, str, str], None]

NAMED = 1000  # of each reason; more than a thousand names nobody reads, and a million take memory
_SUFFIXES = 6  # said in the line


def ignore(reason: Reason, what: str, path: str) -> None:
    """The listener to whom it does not matter."""


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
        order = {reason: place for place, reason in enumerate(get_args(Reason))}
        return sorted(
            self._groups.values(),  # a newer program may have noted other reasons
            key=lambda group: (order.get(group.reason, len(order)), -group.count, group.what),
        )

    def __bool__(self) -> bool:
        return bool(self._groups)


def sentence(groups: Iterable[Group]) -> str:
    """'11 .arw, 2 .txt, 3 hidden, 4 by --exclude drafts', or nothing."""
    found = list(groups)
    suffixes = [group for group in found if group.reason == "suffix"]
    said = [title(group) for group in suffixes[:_SUFFIXES]]
    rest = sum(group.count for group in suffixes[_SUFFIXES:])
    if rest:
        said.append(f"{rest:,} of other suffixes")
    return ", ".join([*said, *(title(group) for group in found if group.reason != "suffix")])


def title(group: Group) -> str:
    """One group in a few words, with its number."""
    count = group.count
    match group.reason:
        case "suffix":
            return f"{count:,} {group.what or 'without a suffix'}"
        case "hidden":
            return f"{count:,} hidden"
        case "excluded":
            return f"{count:,} by --exclude {group.what}"
        case "unreadable":
            return f"{counted(count, 'folder')} that cannot be entered"
        case "empty":
            return counted(count, f"empty {group.what}")
        case "label":
            return f"{count:,} without a label"
        case _:  # what is left out is a thing with a name
            return counted(count, group.what)

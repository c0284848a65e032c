"""What adding did, or would do: plain values, ready for JSON by `dataclasses.asdict`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sightbook.images.left_out import Group


@dataclass(frozen=True, slots=True)
class Failure:
    """A picture that could not be read, and why; `failed` in seconds since 1970."""

    source: str
    path: str
    locator: str
    reason: str
    failed: float


@dataclass(frozen=True, slots=True)
class AddReport:
    """What one `add` did. Pictures of the sources it was given, each counted once:

    added: new; changed: encoded again under their ids; unchanged: untouched; failed: could not be read now;
    known_failures: failed before and unchanged since, so not tried; missing: in the catalogue, no longer in the source
    (left out of searches until they are back); moved: the same content under another path, with the id it had; removed:
    gone from the source and pruned. rate is pictures read per second. left_out: what the sources hold and is not taken
    (`images.left_out`).
    """

    added: int
    changed: int
    unchanged: int
    failed: list[Failure]
    known_failures: int
    missing: int
    moved: int
    removed: int
    seconds: float
    rate: float
    left_out: list[Group] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class AddPlan:
    """What an `add` would do, by locators: new and changed (another size or time) pictures to read, moved ones as (old,
    new), missing ones, which `prune` would remove, the number of those that stay as they are, and what would be left
    out."""

    new: list[str]
    changed: list[str]
    moved: list[tuple[str, str]]
    missing: list[str]
    unchanged: int
    known_failures: int
    left_out: list[Group] = field(default_factory=list)

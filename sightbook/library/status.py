"""A library at a glance: plain values, ready for JSON by `dataclasses.asdict`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sightbook.images.left_out import Group
    from sightbook.ingest.report import Failure


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source: `present` says whether its root is there now; scanned is None until an `add` has gone through it;
    exclude: the globs of what is not taken, remembered from each `add`; left_out: what the last one did not take."""

    id: str
    kind: str
    root: str
    present: bool
    pictures: int
    missing: int
    unreadable: int
    failures: int
    added: float
    scanned: float | None
    exclude: tuple[str, ...] = ()
    left_out: list[Group] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Status:
    """A library at a glance. holds: pictures or vectors; pictures: how many of them can be found; unreadable:
    once good, their present file is not.

    failures counts files that could not be read, failed lists them; bytes is what the folder takes on disk; fine_bytes
    what each picture's fine code takes, 0 where none are kept. learned_from: pictures that the model learned from;
    advice: what would make answers better, None where nothing is known to. model: the name of a released one; backbone:
    of its network; side: of the square that the model sees of a picture, in pixels; each None where there is none.
    """

    path: str
    format: int
    holds: str
    pictures: int
    missing: int
    unreadable: int
    failures: int
    bits: int
    M: int
    K: int
    fine_bytes: int
    fingerprint: str
    method: str
    pretraining: str
    learned_from: int
    advice: str | None
    model: str | None
    backbone: str | None
    side: int | None
    selection: str
    created: str
    bytes: int
    sources: list[SourceStatus]
    failed: list[Failure]

"""What a library answers: plain values, ready for JSON by `dataclasses.asdict`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sightbook.images.entry import Kind
    from sightbook.images.left_out import Group


@dataclass(frozen=True, slots=True)
class Hit:
    """One result. `score` is at most 1, which the query's own picture has, 0 for the average picture of the library and
    below 0 for one that is less alike (`codes.scale`); raw is the sum it is made of, of fine codes, too, where they are
    searched by.

    rank counts from 1; query is the position of the query picture it answers; (source, path) is the picture's key;
    locator names it for people; kind and root say what the source is and where it stood when it was last added;
    digest (hex of BLAKE2b-128) is that of the picture's bytes then.
    """

    rank: int
    id: int
    score: float
    raw: float
    query: int
    source: str
    path: str
    locator: str
    kind: Kind
    root: str
    digest: str = ""

    @property
    def uri(self) -> str:
        """Where the picture is, for any program: the file as a `file:` address, in which bytes of its name that are not
        UTF-8 stand as %XX; of a picture in an archive the archive's."""
        from sightbook.images.entry import address

        return address(self.kind, self.root, self.path)

    def read(self) -> bytes:
        """The picture's bytes from its source; SourceError or PictureError when they are not there any more, or are not
        those that the answer speaks of."""
        from sightbook.images.entry import read_stored

        return read_stored(self.kind, self.root, self.path, bytes.fromhex(self.digest) or None)


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

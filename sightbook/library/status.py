"""A library at a glance: plain values, ready for JSON by `dataclasses.asdict`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sightbook.catalogue import folder, meta, remembered
from sightbook.images.entry import noun
from sightbook.images.ours import DRAWN
from sightbook.images.stored import locate
from sightbook.ingest.report import Failure
from sightbook.search.moved import again
from sightbook.words import counted

if TYPE_CHECKING:
    from sightbook.catalogue.catalogue import Catalogue
    from sightbook.catalogue.folder import Facts
    from sightbook.images.left_out import Group
    from sightbook.model.config import ModelConfig

_GROWN = 2  # times what a model was learned from: then learning anew pays


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
    advice: what would make answers better, None where nothing is known to. model: the name of a released one, or of
    the folder that was given, None for one that was learned for this library; backbone: of its network; side: of the
    square that the model sees of a picture, in pixels; None where there is none.
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


def status(path: Path, catalogue: Catalogue) -> Status:
    """The status of the library at `path`, of one committed state."""
    from sightbook.model import released

    read = _read_settled(path, catalogue)
    config, found = read.config, read.facts
    pictures = sum(source.pictures for source in read.sources)
    return Status(
        path=str(path),
        format=found.format,
        holds=noun(config.frame is None),
        pictures=pictures,
        missing=sum(source.missing for source in read.sources),
        unreadable=sum(source.unreadable for source in read.sources),
        failures=len(read.failed),
        bits=found.bits,
        M=found.M,
        K=found.K,
        fine_bytes=found.fine_bytes,
        fingerprint=found.fingerprint,
        method=config.method,
        pretraining=config.told_pretraining,
        learned_from=int(config.trained.get("pictures", 0)),
        advice=advise(config, pictures) if config.described else None,
        model=released.name_of(found.fingerprint) or read.name,
        backbone=config.backbone,
        side=None if config.frame is None else config.frame.size,
        selection=config.selection,
        created=found.created,
        bytes=folder.size(path),
        sources=read.sources,
        failed=read.failed,
    )


def failures(catalogue: Catalogue) -> list[Failure]:
    """The files that could not be read, by source and path."""
    sources, rows = catalogue.steadily(
        lambda: ({row.id: row for row in catalogue.sources()}, catalogue.failures())
    )
    return [
        Failure(
            row.source,
            row.path,
            locate(sources[row.source].kind, sources[row.source].root, row.path),
            row.reason,
            row.failed,
        )
        for row in rows
        if row.source in sources and row.reason != DRAWN
    ]


class _Read(NamedTuple):
    facts: Facts
    config: ModelConfig
    name: str | None
    sources: list[SourceStatus]
    failed: list[Failure]


def _read_settled(path: Path, catalogue: Catalogue) -> _Read:
    """One state of the catalogue and the model that belongs to it: a migration may put another one in its place between
    two steps."""
    from sightbook.model.config import ModelConfig

    def read() -> _Read:
        found = folder.facts_of(path, catalogue.fingerprint, catalogue.fine)
        config = ModelConfig.read(folder.model_of(path, found.fingerprint))
        name = meta.model_name(catalogue, found.fingerprint)
        return _Read(found, config, name, _sources(catalogue), failures(catalogue))

    return again(lambda: catalogue.steadily(read))


def _sources(catalogue: Catalogue) -> list[SourceStatus]:
    from sightbook.ingest.scan import is_there

    counts = catalogue.counts()
    excludes, left_out = remembered.excludes(catalogue), remembered.left_out(catalogue)
    found = []
    for row in catalogue.sources():
        drawn = remembered.drawn(catalogue, row.id)
        counted = counts[row.id]._replace(failures=counts[row.id].failures - len(drawn))
        found.append(
            SourceStatus(
                row.id,
                row.kind,
                row.root,
                is_there(row.root),
                *counted,
                added=row.added,
                scanned=row.scanned,
                exclude=excludes.get(row.id, ()),
                left_out=remembered.with_drawn(row, left_out.get(row.id, []), drawn),
            )
        )
    return found


def advise(config: ModelConfig, pictures: int) -> str | None:
    """What a library has grown to is worth another look once it is twice what its description was learned from, up to
    as many as descriptions are learned from (docs/neighbours.md). Over another network than the built-in one it is the
    user who has that network."""
    from sightbook.describe.learn import ANCHORS
    from sightbook.model.builtin import BUILTIN

    learned_from, holds = int(config.trained.get("pictures", 0)), noun(config.frame is None)
    if not learned_from or pictures < _GROWN * learned_from or learned_from >= ANCHORS:
        return None
    ours = config.frame is None or config.network.get("backbone", {}).get("kind") == BUILTIN
    how = (
        "`sightbook migrate` with --learn learns another one"
        if ours
        else "train another one over its network and give that to `sightbook migrate`"
    )
    return (
        f"the library's model was learned from {counted(learned_from, holds[:-1])} and it holds {pictures:,}: {how}, "
        "answers will be better"
    )

"""The whole path in one call: draw (or take) pictures, train, add, search, measure.

Data flow: drawn collection or the user's SOURCE → train → MODEL → add → LIBRARY → search → sheet; kinds or labels,
where there are any, only → evaluate. Of the drawn pictures the built-in network looks at some, at once, and all teach a
network of their own, by a fixed amount of work: a slow machine takes longer for the same figures.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sightbook.demo.draw import collection
from sightbook.demo.folder import fresh
from sightbook.demo.report import DemoReport, Few
from sightbook.errors import ConfigError, MissingExtra, SightbookError, SourceError
from sightbook.evaluate.report import Report
from sightbook.evaluate.run import evaluate
from sightbook.images.entry import Entry
from sightbook.images.sources import open_source
from sightbook.learn.choice import able
from sightbook.learn.report import TrainReport
from sightbook.learn.train import resolve, train
from sightbook.library.library import Library
from sightbook.model.builtin import BUILTIN
from sightbook.model.model import Model
from sightbook.present.sheet import sheet
from sightbook.progress import Listener, Notice, silent
from sightbook.search.hit import Hit

SHOWN, ANSWERS = 6, 8  # queries on the sheet, answers to each
OWN_MINUTES = 1.0  # of own pictures that are learned from scratch


@dataclass(frozen=True)
class Work:
    """How much is done: pictures to draw, those of them that the built-in network sees, passes of training."""

    database: int = 6000
    queries: int = 600
    few: int = 600
    few_queries: int = 120
    epochs: int = 4
    settings: Mapping[str, Any] = field(default_factory=lambda: {"batch": 32})  # few passes: many small steps


WORK = Work()


@dataclass(frozen=True)
class Learning:
    """How is learned, as `sightbook.train` takes it. minutes None: as long as is usual here."""

    minutes: float | None
    seed: int
    settings: Mapping[str, Any] | None
    listener: Listener

    def train(self, source: str | Path, folder: Path, **how: Any) -> TrainReport:
        """A model of the pictures."""
        given: dict[str, Any] = {"seed": self.seed, "settings": self.settings, "listener": self.listener}
        return train(source, folder, **{**given, **how})

    def leave_untrained(self, source: str | Path, folder: Path) -> None:
        """The network as it is before training, to stand beside."""
        self.listener(Notice("Measuring, beside the network as it was before training"))
        self.train(source, folder, backbone="resnet", epochs=0)

    def measure(self, folder: Path, data: str | Path, against: list[Path], **labels: Any) -> Report:
        """The model in `folder` on labelled pictures."""
        beside = ["thumbnail", "random"]
        listener = self.listener
        return evaluate(
            folder, "labelled", data, against=against, baselines=beside, listener=listener, **labels
        )


def run(
    out: Path | None = None,
    *,
    data: str | None = None,
    minutes: float | None = None,
    work: Work = WORK,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    listener: Listener = silent,
) -> DemoReport:
    """Runs the demo in a folder of its own (see `folder.fresh`), on drawn pictures or on those of `data`.

    minutes: of training, in place of a fixed amount of work (own pictures that are learned from scratch: one minute);
    settings: as for `sightbook.train`. Raises ConfigError when `out` holds something, SourceError for `data`,
    MissingExtra when drawn pictures are to be learned from and training is not installed.
    """
    started = time.monotonic()
    if data is None:
        if not able():
            raise MissingExtra("training", "train")
        report = _drawn(fresh(out), work, Learning(minutes, seed, settings, listener))
    else:
        entries = _entries(data)
        if any(entry.is_vector for entry in entries):
            raise SourceError(
                f"{data} holds vectors, and the demo shows pictures: learn from them by `sightbook train`"
            )
        report = _own(fresh(out), data, entries, Learning(minutes, seed, settings, listener))
    return replace(report, seconds=time.monotonic() - started)


def _drawn(folder: Path, work: Work, learning: Learning) -> DemoReport:
    """All drawn pictures teach a network of their own, from scratch; the built-in one looks at some of them."""
    listener, total = learning.listener, work.database + work.queries
    listener(Notice(f"Drawing {total:,} pictures into {folder / 'pictures'}"))
    drawn = collection(
        folder / "pictures",
        database=work.database,
        queries=work.queries,
        seed=learning.seed,
        listener=listener,
    )
    few = drawn.part(folder / "few", work.few, work.few_queries)
    listener(Notice(f"At once: the built-in network, and codes learned from {work.few:,} of the pictures"))
    learning.train(few.train, folder / "built-in", backbone=BUILTIN, settings=None)

    listener(Notice("From scratch: a network that has seen nothing but these pictures"))
    learning = replace(learning, settings={**work.settings, **(learning.settings or {})})
    began, minutes = time.monotonic(), learning.minutes
    budget: dict[str, Any] = {"epochs": work.epochs} if minutes is None else {"minutes": minutes}
    trained = learning.train(drawn.train, folder / "model", backbone="resnet", **budget)
    report = _searched(folder, str(drawn.train), sorted(drawn.test.iterdir())[:SHOWN], listener)
    report = replace(report, drawn=True, seconds_training=time.monotonic() - began, verdict=trained.sentence)

    learning.leave_untrained(drawn.train, folder / "untrained")
    model = folder / "model"
    whole = learning.measure(model, drawn.folder, [folder / "untrained"], labels=drawn.kinds)
    part = learning.measure(model, few.folder, [folder / "built-in"], labels=few.kinds)
    return replace(
        _measured(report, whole),
        map_untrained=whole.against[0].map,
        few=Few(
            pictures=work.few,
            queries=part.queries,
            map=part.map,
            map_builtin=part.against[0].map,
            map_thumbnail=_of(part, "thumbnail"),
            map_random=_of(part, "random"),
        ),
    )


def _own(folder: Path, data: str, entries: Sequence[Entry], learning: Learning) -> DemoReport:
    """What `train` chooses for these pictures, and where they have labels, how good it is."""
    began, minutes = time.monotonic(), learning.minutes
    if minutes is None and not resolve(data, settings=learning.settings).closed_form:
        minutes = OWN_MINUTES
    trained = learning.train(data, folder / "model", minutes=minutes)
    report = _searched(folder, data, None, learning.listener, entries)
    report = replace(report, seconds_training=time.monotonic() - began, verdict=trained.sentence)
    if not any(entry.label is not None for entry in entries):
        return report
    against = []
    if trained.steps:
        against = [folder / "untrained"]
        learning.leave_untrained(data, against[0])
    try:
        found = learning.measure(folder / "model", data, against)
    except ConfigError as error:  # copies among the pictures, say: what was learned is there all the same
        learning.listener(Notice(f"Not judged: {error}"))
        return report
    report = _measured(report, found)
    return replace(report, map_untrained=found.against[0].map) if against else report


def _searched(
    folder: Path, source: str, asked: list[Any] | None, listener: Listener, entries: Sequence[Entry] = ()
) -> DemoReport:
    """The library of the model in `folder`, and its answers to `asked`, or to some of its own, on a sheet."""
    model = Model.open(folder / "model")
    with Library.open(folder / "library", create_with=model) as library:
        added = library.add([source], listener=listener)
        if asked is None:
            asked, hits = _ask_with_own(library, entries)
        else:
            hits = library.search(asked, ANSWERS)
    title = "Each row: a picture, and what the library finds for it"
    picture = sheet(asked, hits, folder / "sheet.png", columns=ANSWERS, side=136, title=title)
    return DemoReport(
        folder=folder,
        pictures=added.added,
        drawn=False,
        model=folder / "model",
        library=folder / "library",
        sheet=picture,
        bits=model.bits,
        seconds=0.0,
        seconds_training=0.0,
        verdict="",
    )


def _measured(report: DemoReport, found: Report) -> DemoReport:
    """The report with the mean average precisions of an evaluation."""
    return replace(
        report,
        ap_definition=found.ap_definition,
        R=found.R,
        queries=found.queries,
        map=found.map,
        map_thumbnail=_of(found, "thumbnail"),
        map_random=_of(found, "random"),
    )


def _of(found: Report, name: str) -> float | None:
    return found.baselines[name].map if name in found.baselines else None


def _entries(data: str) -> list[Entry]:
    return [entry for source in open_source(data) for entry in source.entries()]


def _ask_with_own(library: Library, entries: Sequence[Entry]) -> tuple[list[bytes], list[Hit]]:
    """Asks with readable pictures from all over the collection; the picture itself is left out of its answers."""
    asked: list[bytes] = []
    hits: list[Hit] = []
    step = max(1, len(entries) // SHOWN)
    for entry in entries[step // 2 :: step][:SHOWN]:
        try:
            content = entry.read()
            found = library.search(content, ANSWERS + 1)
        except SightbookError:
            continue  # one of the pictures that `add` has named already
        others = [hit for hit in found if (hit.source, hit.path) != entry.key][:ANSWERS]
        hits += [replace(hit, rank=rank, query=len(asked)) for rank, hit in enumerate(others, 1)]
        asked.append(content)
    return asked, hits

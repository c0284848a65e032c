"""The whole path in one call: draw (or take) pictures, train, add, search, measure.

Data flow: drawn collection or the user's SOURCE → train → MODEL → add → LIBRARY → search → sheet; kinds or labels,
where there are any, only → evaluate.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sightbook.demo.draw import collection
from sightbook.demo.folder import fresh
from sightbook.demo.report import Report
from sightbook.evaluate.report import Report as Measured
from sightbook.evaluate.run import evaluate
from sightbook.images.entry import Entry
from sightbook.images.sources import open_source
from sightbook.library.library import Library
from sightbook.library.results import Hit
from sightbook.model.model import Model
from sightbook.progress import Listener, Notice, silent
from sightbook.search.sheet import sheet

SHOWN, ANSWERS = 6, 8  # queries on the sheet, answers to each


def run(
    out: Path | None = None,
    *,
    data: str | None = None,
    minutes: float = 1.0,
    database: int = 6000,
    queries: int = 600,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    listener: Listener = silent,
) -> Report:
    """Runs the demo in a folder of its own (see `folder.fresh`), on drawn pictures or on those of `data`.

    minutes: of training; database, queries: pictures to draw; settings: as for `sightbook.train`. Raises ConfigError
    when `out` holds something, SourceError for `data`, MissingExtra when training is not installed.
    """
    from sightbook.learn.train import train  # before anything is drawn: it may not be installed

    started = time.monotonic()
    folder = fresh(out)
    entries = [] if data is None else _entries(data)
    labels = None
    if data is None:
        listener(Notice(f"Drawing {database + queries:,} pictures into {folder / 'pictures'}"))
        drawn = collection(
            folder / "pictures", database=database, queries=queries, seed=seed, listener=listener
        )
        source, judged, labels = str(drawn.train), str(drawn.folder), drawn.kinds
    else:
        source = judged = data
    labelled = data is None or any(entry.label is not None for entry in entries)

    began = time.monotonic()
    train(source, folder / "model", minutes=minutes, seed=seed, settings=settings, listener=listener)
    seconds_training = time.monotonic() - began
    model = Model.open(folder / "model")
    with Library.open(folder / "library", create_with=model) as library:
        added = library.add([source], listener=listener)
        if data is None:
            asked: list[Any] = sorted(drawn.test.iterdir())[:SHOWN]
            hits = library.search(asked, ANSWERS)
        else:
            asked, hits = _ask_with_own(library, entries)
    title = "Each row: a picture, and what the library finds for it"
    picture = sheet(asked, hits, folder / "sheet.png", columns=ANSWERS, side=136, title=title)
    report = Report(
        folder=folder,
        pictures=added.added,
        drawn=data is None,
        model=folder / "model",
        library=folder / "library",
        sheet=picture,
        bits=model.bits,
        seconds=0.0,
        seconds_training=seconds_training,
        recall_at_1=model.config.verdict["trained"]["recall_at_1"],
        recall_at_1_untrained=model.config.verdict["untrained"]["recall_at_1"],
    )
    if labelled:
        listener(Notice("Measuring, beside the network as it was before training"))
        train(source, folder / "untrained", epochs=0, seed=seed, settings=settings, listener=listener)
        found = evaluate(
            model,
            "labelled",
            judged,
            labels=labels,
            against=[folder / "untrained"],
            baselines=["thumbnail", "random"],
            listener=listener,
        )
        report = _measured(report, found)
    return replace(report, seconds=time.monotonic() - started)


def _measured(report: Report, found: Measured) -> Report:
    """The report with the mean average precisions of an evaluation."""
    beside = {name: figures.map for name, figures in found.baselines.items()}
    return replace(
        report,
        ap_definition=found.ap_definition,
        R=found.R,
        queries=found.queries,
        map=found.map,
        map_untrained=found.against[0].map,
        map_thumbnail=beside.get("thumbnail"),
        map_random=beside.get("random"),
    )


def _entries(data: str) -> list[Entry]:
    return [entry for source in open_source(data) for entry in source.entries()]


def _ask_with_own(library: Library, entries: Sequence[Entry]) -> tuple[list[bytes], list[Hit]]:
    """Asks with readable pictures from all over the collection; the picture itself is left out of its answers."""
    from sightbook.errors import SightbookError

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

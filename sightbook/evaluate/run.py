"""Judging a model on labelled pictures: `evaluate` is what the command and Python users call.

Data flow: protocol → Split of labelled pictures → `read` (pixels → embeddings, codes, thumbnails) → one ranking per
model, its fine codes, symmetric form and baseline → `judge` → Report.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightbook.arguments import count, flag, function, model_like, optional, path_like, takes, text, texts
from sightbook.codes.oracle import score
from sightbook.codes.scale import Scale
from sightbook.cores import cores
from sightbook.errors import ConfigError
from sightbook.evaluate.baselines import BASELINES, CHANCE, CLASSIC, USUAL, Baseline, named
from sightbook.evaluate.classic import Unsuitable
from sightbook.evaluate.details import QUERIES, Details, Sample, samples, usage
from sightbook.evaluate.metrics import DEFAULT, check_cut, definition
from sightbook.evaluate.parts import place
from sightbook.evaluate.protocols import Protocol
from sightbook.evaluate.protocols import protocol as protocol_named
from sightbook.evaluate.ranking import code_ranker
from sightbook.evaluate.rankings import Rankings
from sightbook.evaluate.reading import Reading, read
from sightbook.evaluate.relevance import Truth
from sightbook.evaluate.report import Report
from sightbook.evaluate.shared import refuse_shared
from sightbook.evaluate.split import Split
from sightbook.model.model import Model
from sightbook.progress import Listener, silent
from sightbook.threads import own_cores
from sightbook.words import counted

AnyPath = str | PathLike[str]


def _models(value: Any, name: str) -> list[Any]:
    """One model or several, opened or as folders."""
    one = isinstance(value, Model | str | PathLike) or not isinstance(value, Iterable)
    return [model_like(each, f"{name}[{i}]") for i, each in enumerate([value] if one else value)]


@takes(
    model=model_like, protocol=text, data=path_like, labels=optional(path_like), against=_models,
    R=optional(count), junk=optional(text), label_column=optional(text), ap_definition=text, baselines=texts,
    validation=flag, jobs=optional(count), details=flag, listener=function,
)  # fmt: skip
def evaluate(
    model: Model | AnyPath,
    protocol: str,
    data: AnyPath,
    *,
    labels: AnyPath | None = None,
    against: Sequence[Model | AnyPath] = (),
    R: int | None = None,
    junk: str | None = None,
    label_column: str | None = None,
    ap_definition: str = DEFAULT,
    baselines: Sequence[str] = USUAL,
    validation: bool = False,
    jobs: int | None = None,
    details: bool = False,
    listener: Listener = silent,
) -> Report:
    """Judges `model`, and the models `against` beside it, by `protocol` on the pictures of `data`.

    protocol: a name of `protocols.PROTOCOLS`; labels: a CSV with the columns file, label and others, of which `junk`
    names one; label_column: where the labels are, in the data or the CSV, when not in `label` or `labels`; R: the cut
    of the ranking (default: the protocol's); ap_definition: a name of `metrics.DEFINITIONS`;
    baselines: names of `baselines.BASELINES` and random, or all; validation: judge on a cut of the pictures that may be
    learned from (`Split.validation`), which may decide what the queries may not; jobs: processes that decode and
    threads that rank (default: cores); details: keep what `plots.draw` shows, which costs full rankings.

    Raises ConfigError for what does not fit together (unknown names, R above the database, no labels, query pictures
    that are in the database), SourceError for data or labels that cannot be read, ModelError for a model that cannot.
    A single picture that cannot be read is left out and named in the report. Models of vectors are judged on vectors
    with labels: a Parquet file with a column `label`, or `labels` whose files are the numbers of the rows.
    """
    started = time.monotonic()
    rule = protocol_named(protocol)
    whole = definition(ap_definition).whole
    baselines = named(baselines)
    check_cut(R, ap_definition)
    models = [each if isinstance(each, Model) else Model.open(each) for each in (model, *against)]
    for each in models:
        each.check()
    split = rule.load(place(data), None if labels is None else place(labels), junk, label_column)
    if not rule.official:
        refuse_shared(split)
    if validation:
        split = split.validation()
    check_depth(R, split)
    raw = any(name in CLASSIC for name in baselines)
    reading = read(split, models, jobs=jobs, listener=listener, features=raw)
    N = len(reading.database)
    notes = [*split.notes, *_deviations(rule, split, models, R is None and not whole, validation)]
    learned, left_out = _learn_baselines(baselines, reading, models[0].bits)
    rankings = Rankings(
        reading,
        _truth(reading, junk),
        ap_definition,
        R=N if whole else min(rule.R if R is None else R, N),
        jobs=jobs or cores(),
        with_curves=details,
    )
    rows = rankings.rows(models, baselines, learned, listener)
    return Report(
        protocol=f"{rule.name}, validation" if validation else rule.name,
        ap_definition=ap_definition,
        R=rankings.R,
        junk=junk,
        notes=(*notes, *left_out),
        seconds=time.monotonic() - started,
        per_query=rankings.per_query,
        details=_details(models[0], rankings) if details else None,
        **rows,
        **_data_facts(split, rankings),
    )


def _truth(reading: Reading, junk: str | None) -> Truth:
    """What is relevant to which query; junk: the metadata column whose equals are taken out of its ranking."""
    queries, database = reading.queries, reading.database
    labels = ([each.labels for each in queries], [each.labels for each in database])
    if junk is None:
        return Truth.of(*labels)
    return Truth.of(
        *labels, [each.metadata[junk] for each in queries], [each.metadata[junk] for each in database]
    )


def _learn_baselines(
    names: Sequence[str], reading: Reading, bits: int
) -> tuple[dict[str, Baseline], list[str]]:
    """(the baselines that these pictures allow, by name; a sentence on each other one)."""
    learned, left_out = {}, []
    for name in names:
        if name != CHANCE:
            try:
                with own_cores():
                    learned[name] = BASELINES[name](reading, bits)
            except Unsuitable as reason:
                left_out.append(f"the baseline {name} was left out: {reason}")
    return learned, left_out


def _data_facts(split: Split, rankings: Rankings) -> dict[str, Any]:
    """What the report says of the pictures."""
    reading = rankings.reading
    return {
        "queries": len(reading.queries),
        "database": len(reading.database),
        "classes": len({name for each in (*reading.queries, *reading.database) for name in each.labels}),
        "queries_without_relevant": int((rankings.truth.counts[0] == 0).sum()),
        "unlabelled": split.unlabelled,
        "left_out": split.left_out,
        "shared": reading.shared,
        "failed": tuple({"picture": item.entry.locator, "reason": item.reason} for item in reading.failed),
    }


def _details(model: Model, rankings: Rankings) -> Details:
    """What the plots of the first model show."""
    reading = rankings.reading
    codes, tables = reading.seen[0].codes, model.tables(reading.seen[0].x)
    scale = Scale.of(model.pack(codes), model.M, model.K)

    def scores(q: int, ids: NDArray[np.int64]) -> list[float]:
        raw = score(tables[q], codes[ids])[None]
        found: list[float] = scale.scores(raw, tables[q : q + 1])[0].tolist()
        return found

    answers: tuple[Sample, ...] = ()
    if not model.takes_vectors:
        ranker = code_ranker(tables, codes)
        answers = samples(ranker, rankings.truth, rankings.per_query["model"], reading, scores)
    queries = min(QUERIES, len(reading.queries))
    return Details(rankings.curves, queries, usage(codes, model.K), answers)


def check_depth(R: int | None, split: Split) -> None:
    """ConfigError for a cut below the end of the ranking."""
    if R is not None and len(split.database) < R:
        raise ConfigError(
            f"R is {R}, but the database holds {counted(len(split.database), 'picture')}: choose a smaller R"
        )


def _deviations(
    rule: Protocol, split: Split, models: Sequence[Model], default_R: bool, validation: bool
) -> list[str]:
    """What makes this less than the protocol asks for."""
    notes = []
    sizes = (len(split.queries), len(split.database))
    if rule.sizes is not None and sizes != rule.sizes and not validation:
        notes.append(
            f"not the official {rule.name}: {counted(sizes[0], 'query')} and {counted(sizes[1], 'picture')} instead of "
            f"{rule.sizes[0]:,} and {rule.sizes[1]:,}"
        )
    for model in models:
        seen = sum(int(model.config.trained.get(part, 0)) for part in ("pictures", "held_out"))
        # A model in closed form learns from its pictures without a step.
        untrained = model.config.trained.get("steps") == 0 and not model.config.described
        if rule.training is not None and seen > rule.training and not untrained:
            notes.append(
                f"not the official {rule.name}: {model.folder} was trained on {counted(seen, 'picture')}, the protocol "
                f"allows {rule.training:,}"
            )
    if default_R and len(split.database) < rule.R:
        notes.append(f"the ranking is cut at the whole database instead of {rule.R}: it holds fewer pictures")
    return notes

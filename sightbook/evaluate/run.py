"""Judging a model on labelled pictures: `evaluate` is what the command and Python users call.

Data flow: protocol → Split of labelled pictures → `read` (pixels → embeddings, codes, thumbnails) → one ranking per
model, its fine codes, symmetric form and baseline → `judge` → Report.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightbook.arguments import flag, function, model_like, optional, path_like, takes, text, texts, whole
from sightbook.codes.oracle import score
from sightbook.codes.scale import Scale
from sightbook.cores import cores
from sightbook.errors import ConfigError
from sightbook.evaluate.baselines import BASELINES, CHANCE, CLASSIC, USUAL, Baseline, LeftOut
from sightbook.evaluate.details import QUERIES, Curve, Details, curve, samples, usage
from sightbook.evaluate.judge import Judged, judge, judge_chance
from sightbook.evaluate.metrics import DEFAULT, definition
from sightbook.evaluate.protocols import Protocol
from sightbook.evaluate.protocols import protocol as protocol_named
from sightbook.evaluate.ranking import Ranker, code_ranker, fine_ranker
from sightbook.evaluate.reading import Reading, read
from sightbook.evaluate.relevance import Truth
from sightbook.evaluate.report import Figures, ModelFigures, Report
from sightbook.evaluate.shared import refuse_shared
from sightbook.evaluate.split import Split
from sightbook.model.model import Model
from sightbook.progress import Listener, Meter, silent
from sightbook.threads import own_cores
from sightbook.words import counted

AnyPath = str | PathLike[str]


def _models(value: Any, name: str) -> list[Any]:
    """One model or several, opened or as folders."""
    one = isinstance(value, Model | str | PathLike) or not isinstance(value, Iterable)
    return [model_like(each, f"{name}[{i}]") for i, each in enumerate([value] if one else value)]


@takes(
    model=model_like, protocol=text, data=path_like, labels=optional(path_like), against=_models,
    R=optional(whole), junk=optional(text), ap_definition=text, baselines=texts, validation=flag, jobs=optional(whole),
    details=flag, listener=function,
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
    if "all" in baselines:
        baselines = (*BASELINES, CHANCE)
    baselines = tuple(dict.fromkeys(baselines))
    _check(R, whole, baselines, jobs)
    models = [each if isinstance(each, Model) else Model.open(each) for each in (model, *against)]
    for each in models:
        each.check()
    split = rule.load(Path(data), None if labels is None else Path(labels), junk, label_column)
    if not rule.official:
        refuse_shared(split)
    if validation:
        split = split.validation()
    if R is not None and len(split.database) < R:
        raise ConfigError(
            f"R is {R}, but the database holds {counted(len(split.database), 'picture')}: choose a smaller R"
        )
    raw = any(name in CLASSIC for name in baselines)
    reading = read(split, models, jobs=jobs, listener=listener, features=raw)
    N = len(reading.database)
    notes = [*split.notes, *_deviations(rule, split, models, R is None and not whole, validation)]
    R = N if whole else min(rule.R if R is None else R, N)
    truth = Truth.of(
        [picture.labels for picture in reading.queries],
        [picture.labels for picture in reading.database],
        None if junk is None else [picture.metadata[junk] for picture in reading.queries],
        None if junk is None else [picture.metadata[junk] for picture in reading.database],
    )

    chosen: dict[str, Baseline] = {}
    for name in baselines:
        if name != CHANCE:
            try:
                with own_cores():
                    chosen[name] = BASELINES[name](reading, models[0].bits)
            except LeftOut as reason:
                notes.append(f"the baseline {name} was left out: {reason}")
    rankings = 2 * len(models) + 2 * len(models[0].config.nested)
    rankings += sum(each.fine_bytes > 0 for each in models)
    rankings += sum(1 + (b.symmetric is not None) for b in chosen.values())
    meter = Meter(listener, "rank", rankings * len(reading.queries), "queries")
    per_query: dict[str, NDArray[np.float64]] = {}
    curves: dict[str, Curve] = {}

    def judged(title: str, ranker: Ranker) -> Judged:
        if details and not title.endswith(" symmetric"):
            curves[title] = curve(ranker, truth, jobs or cores())
        result = judge(ranker, truth, name=ap_definition, R=R, jobs=jobs or cores(), meter=meter)
        per_query[title] = result.ap
        return result

    rows = []
    for i, (each, seen) in enumerate(zip(models, reading.seen, strict=True)):
        title = "model" if i == 0 else f"against {i - 1}"
        tables = each.tables(seen.x)
        by_code = code_ranker(tables, seen.codes)
        asymmetric = judged(title, by_code)
        symmetric = judged(
            f"{title} symmetric", code_ranker(each.symmetric_tables(seen.query_codes), seen.codes)
        )
        fine = None
        if seen.query_fine is not None and seen.fine is not None:
            # A definition that judges the whole ranking says nothing of how many answers are asked for.
            ranker = fine_ranker(
                by_code,
                tables,
                seen.codes,
                seen.query_fine,
                seen.fine,
                gain=each.fine_gain,
                R=0 if whole else R,
            )
            found = judged(f"{title} fine", ranker)
            fine = Figures(found.map, found.mean_precision, bits=each.bits + 8 * each.fine_bytes)
        rows.append(_model_row(each, asymmetric, symmetric, fine))
    nested = []
    for bits in models[0].config.nested:
        each, seen = models[0].prefix(bits), reading.seen[0].prefix(models[0].prefix(bits))
        asymmetric = judged(f"nested {bits}", code_ranker(each.tables(seen.x), seen.codes))
        symmetric = judged(
            f"nested {bits} symmetric", code_ranker(each.symmetric_tables(seen.query_codes), seen.codes)
        )
        nested.append(_model_row(each, asymmetric, symmetric))
    beside: dict[str, Figures] = {}
    for name in baselines:
        if name == CHANCE:
            chance = judge_chance(truth, ap_definition, R)
            per_query[name] = chance.ap
            beside[name] = Figures(chance.map, chance.mean_precision)
        elif name in chosen:
            baseline = chosen[name]
            result = judged(name, baseline.ranker)
            symmetric_map = (
                None if baseline.symmetric is None else judged(f"{name} symmetric", baseline.symmetric).map
            )
            beside[name] = Figures(result.map, result.mean_precision, symmetric_map, baseline.bits)
    meter.close()
    return Report(
        figures=rows[0],
        protocol=f"{rule.name}, validation" if validation else rule.name,
        ap_definition=ap_definition,
        R=R,
        queries=len(reading.queries),
        database=N,
        classes=len({name for picture in (*reading.queries, *reading.database) for name in picture.labels}),
        queries_without_relevant=int((truth.counts[0] == 0).sum()),
        unlabelled=split.unlabelled,
        left_out=split.left_out,
        shared=reading.shared,
        junk=junk,
        baselines=beside,
        against=tuple(rows[1:]),
        nested=tuple(nested),
        failed=tuple({"picture": item.entry.locator, "reason": item.reason} for item in reading.failed),
        notes=tuple(notes),
        seconds=time.monotonic() - started,
        per_query=per_query,
        details=_details(models[0], reading, truth, curves, per_query["model"]) if details else None,
    )


def _details(
    model: Model, reading: Reading, truth: Truth, curves: dict[str, Curve], ap: NDArray[np.float64]
) -> Details:
    """What the plots of the first model show."""
    codes, tables = reading.seen[0].codes, model.tables(reading.seen[0].x)
    scale = Scale.of(model.pack(codes), model.M, model.K)

    def scores(q: int, ids: NDArray[np.int64]) -> list[float]:
        raw = score(tables[q], codes[ids])[None]
        found: list[float] = scale.scores(raw, tables[q : q + 1])[0].tolist()
        return found

    answers = () if model.takes_vectors else samples(code_ranker(tables, codes), truth, ap, reading, scores)
    return Details(curves, min(QUERIES, len(reading.queries)), usage(codes, model.K), answers)


def _check(R: int | None, whole: bool, baselines: Sequence[str], jobs: int | None) -> None:
    """What can be refused before any picture is read."""
    if R is not None and R < 1:
        raise ConfigError(f"R is {R}: it counts the top pictures that are judged, give at least 1")
    if R is not None and whole:
        raise ConfigError("this definition of average precision judges the full ranking: leave R out")
    known = (*BASELINES, CHANCE)
    for name in baselines:
        if name not in known:
            raise ConfigError(f"unknown baseline {name!r}: use any of {', '.join(known)}")
    if jobs is not None and jobs < 1:
        raise ConfigError(f"jobs is {jobs}: give at least 1")


def _model_row(
    model: Model, asymmetric: Judged, symmetric: Judged, fine: Figures | None = None
) -> ModelFigures:
    return ModelFigures(
        asymmetric.map,
        asymmetric.mean_precision,
        symmetric.map,
        model.bits,
        model=str(model.folder),
        fingerprint=model.fingerprint,
        method=model.config.method,
        pretraining=model.config.pretraining,
        selection=model.config.selection,
        fine=fine,
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

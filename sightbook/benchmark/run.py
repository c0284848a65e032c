"""Running a declared experiment: each run trains a model, judges it and is kept at once; what is finished stays.

Data flow: `read_plan` → runs → (train → MODEL in work/NAME/RUN → evaluate → document) → `Results` → page.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from sightbook.arguments import function, optional, path_like, takes, text, whole
from sightbook.benchmark.data import digest_of, weights_of
from sightbook.benchmark.make import Making
from sightbook.benchmark.page import check, write_page
from sightbook.benchmark.plan import Plan, Run, dump_plan, read_plan
from sightbook.benchmark.results import Results
from sightbook.catalogue.lock import writer_lock
from sightbook.errors import ConfigError, SightbookError, SourceError
from sightbook.evaluate.baselines import named
from sightbook.evaluate.protocols import protocol as protocol_named
from sightbook.evaluate.report import Report
from sightbook.evaluate.run import check_depth
from sightbook.evaluate.split import Split
from sightbook.files import write_atomic
from sightbook.progress import Listener, Notice, silent
from sightbook.words import counted, verb

AnyPath = str | PathLike[str]


@dataclass(frozen=True)
class Summary:
    """What a call of `benchmark` did. failed: (run, reason) of runs that could not be made."""

    results: Path
    page: Path
    ran: tuple[str, ...]
    kept: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]

    def to_json(self) -> dict[str, Any]:
        """Plain types."""
        return {**asdict(self), "results": str(self.results), "page": str(self.page)}


@takes(
    plan=path_like,
    results=path_like,
    page=path_like,
    work=path_like,
    only=optional(text),
    epochs=optional(whole),
    listener=function,
)
def benchmark(
    plan: AnyPath,
    *,
    results: AnyPath = "results",
    page: AnyPath = "docs/results.md",
    work: AnyPath = "runs",
    only: str | None = None,
    epochs: int | None = None,
    listener: Listener = silent,
) -> Summary:
    """Makes every run of the experiment that `plan` (a YAML file) declares and that is not finished yet.

    results: the folder of NAME.json, NAME the plan's file name; page: the Markdown page drawn from all results there;
    work: the folder of the models, which a stopped call goes on with; only: a cell, to leave the others for later;
    epochs: in place of every budget, to try a plan at small size (give other folders for such results).

    A run counts as finished while settings, pictures, labels and local weights are those it was made with. Where all
    runs are finished and the data are not here, figures are taken as they stand. Raises ConfigError for a plan that
    does not fit, SourceError for data that is not there, or that changes meanwhile. A run that fails is reported, and
    the others go on.
    """
    path = Path(plan)
    declared = read_plan(path) if epochs is None else read_plan(path).with_epochs(epochs)
    if only is not None and only not in declared.all_cells:
        raise ConfigError(f"{path} has no cell {only!r}: it has {', '.join(declared.all_cells)}")
    target, target_page, folder = Path(results), Path(page), Path(work) / path.stem
    check(target, target_page)
    folder.mkdir(parents=True, exist_ok=True)
    ran, failed, known = [], [], []
    with writer_lock(folder):
        kept = Results.of(target / f"{path.stem}.json", declared)
        write_atomic(folder / "plan.yaml", dump_plan(declared))
        weights = {name: weights_of(cell) for name, cell in declared.all_cells.items()}
        split = _data(declared, kept, folder / "data.json", weights, listener)
        if split is not None:
            _check_depth(declared, split)
        for run in declared.runs():
            if run.digest in kept.runs:
                known.append(run.name)
                continue
            if only is not None and run.cell != only:
                continue
            assert split is not None and kept.data is not None, "what is not finished needs the data"
            making = Making(declared, split, folder, listener)
            listener(Notice(f"{run.name}: {run.what.method}, {run.bits} bits, seed {run.seed}"))
            try:
                document, report = making.make(run, {"data": kept.data, "weights": weights[run.cell]})
            except SightbookError as error:
                listener(Notice(f"{run.name} failed: {error}"))
                failed.append((run.name, str(error)))
                continue
            _refuse_changed(declared, kept.data, folder / "data.json", listener)
            kept.add(run, document, report.per_query["model"])
            _draw(kept, run, report, target_page)
            ran.append(run.name)
            listener(Notice(f"{run.name}: mAP {report.map:.4f}"))
            write_page(target, target_page)
        kept.save()
        write_page(target, target_page)
        _tell_unjudged(kept, listener)
    return Summary(kept.path, target_page, tuple(ran), tuple(known), tuple(failed))


def _load(plan: Plan) -> Split:
    """The pictures of the plan, as they are now."""
    return protocol_named(plan.protocol).load(*plan.places, plan.junk, plan.label_column)


def _refuse_changed(plan: Plan, data: str, cache: Path, listener: Listener) -> None:
    """SourceError when pictures or labels are not those any more that figures are kept under: an evaluation looks at
    what is there then, hours after the experiment began."""
    if digest_of(_load(plan), plan.junk, cache, listener) != data:
        raise SourceError(
            f"pictures or labels of {plan.data} changed while the experiment ran: run the same command again, what is "
            "finished by then is put aside"
        )


def _tell_unjudged(kept: Results, listener: Listener) -> None:
    """Baselines that came into the plan after runs were finished."""
    for name in named(kept.plan.baselines):
        without = [
            run
            for run in kept.runs.values()
            if name not in run["baselines"]
            and not any(f"the baseline {name} was" in note for note in run["notes"])
        ]
        if without:
            listener(
                Notice(
                    f"{counted(len(without), 'finished run')} {verb(len(without), 'have')} no baseline {name}: delete "
                    f"{kept.path} to judge them anew, by the models that are there"
                )
            )


def _data(
    plan: Plan, kept: Results, cache: Path, weights: dict[str, str | None], listener: Listener
) -> Split | None:
    """The pictures of the plan; `kept` is settled on them. None where they are not here and nothing is to be made."""
    try:
        split = _load(plan)
    except SightbookError as error:
        if not all(run.digest in kept.runs for run in plan.runs()):
            raise
        listener(Notice(f"the data are not looked at, all runs are taken as they stand ({error})"))
        return None
    if any(picture.entry.is_vector for picture in split.queries):
        raise ConfigError(
            f"{plan.data} holds vectors, and experiments learn from pictures: give `sightbook train` the vectors and "
            "`sightbook evaluate` the model"
        )
    found = digest_of(split, plan.junk, cache, listener)
    aside, unknown = kept.settle(found, (len(split.queries), len(split.database)), weights)
    if aside:
        listener(
            Notice(
                f"{aside} runs in {kept.path} are of other pictures, labels or weights: shown in no table, made anew"
            )
        )
    if unknown:
        listener(
            Notice(
                f"{unknown} runs in {kept.path} do not say which pictures they are of; the numbers of queries and "
                "pictures are the same, so they count as finished: move the file away to make them anew"
            )
        )
    return split


def _check_depth(plan: Plan, split: Split) -> None:
    """ConfigError for an R above a database that is searched, before anything is learned."""
    check_depth(plan.R, split)
    if plan.R is not None and any(cell.selection is not None for cell in plan.all_cells.values()):
        check_depth(plan.R, split.validation())


def _draw(kept: Results, run: Run, report: Report, page: Path) -> None:
    """The sheet and the use of codewords of the reference, of its first seed at its longest code, for the page."""
    first = min(run.what.seeds or (run.seed,))
    reference = kept.plan.compared
    if run.cell != reference or run.seed != first or run.bits != max(run.what.bits or (run.bits,)):
        return
    from sightbook.evaluate.plots import draw_sheet, draw_usage

    assert report.details is not None
    folder = page.parent / page.stem
    drawn = folder / f"{kept.name}-{run.cell}-sheet.jpg"
    drawn.unlink(missing_ok=True)  # ours by its name; early sheets bear no mark
    draw_sheet(report.details, drawn, f"{run.cell}, {run.bits} bits")
    draw_usage(report.details, folder / f"{kept.name}-{run.cell}-codewords.png")

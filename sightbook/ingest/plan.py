"""What an `add` has to do, for all its sources together, before anything is done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sightbook.catalogue import folder
from sightbook.catalogue.catalogue import Catalogue
from sightbook.errors import LibraryError
from sightbook.images.entry import noun
from sightbook.images.exclude import below, within
from sightbook.images.left_out import Group, LeftOut
from sightbook.images.sources import Source
from sightbook.images.stored import locate
from sightbook.ingest.order import Order
from sightbook.ingest.refuse import refuse_misfit
from sightbook.ingest.report import AddPlan
from sightbook.ingest.resolve import resolve
from sightbook.ingest.scan import Plan, find_moved, scan_all
from sightbook.model.config import ModelConfig
from sightbook.progress import Listener, Meter, Notice


def plan_all(
    catalogue: Catalogue, library: Path, order: Order, listener: Listener, config: ModelConfig | None = None
) -> list[Plan]:
    """What an `add` has to do, without doing any of it: the plan of each source.

    config: of the new model that the sources must fit; None: the library's own.
    LibraryError when a source is not of the kind or length that the model takes, or `prune` would take everything that
    is known of a source, and was not told "all".
    """
    sources = resolve(catalogue, library, order)
    if folder.exists(library):
        whose = f"the model of {library}" if config is None else "the new model"
        config = config or ModelConfig.read(folder.model_of(library, catalogue.fingerprint))
        refuse_misfit(sources, config, whose)
    meter = Meter(listener, "scan")
    plans = scan_all(catalogue, sources, order, meter, library)
    meter.close()
    if plans:  # empty members of a pattern are told of beside the first whole source of it
        first = next((plan for plan in plans if plan.source.names is None), plans[0])
        first.aside = sources.aside.groups
    for glob in order.exclude:
        if all(_unfit(glob, plan.source) for plan in plans if not plan.bystander):
            places = ", ".join(str(plan.source.root) for plan in plans)
            listener(Notice(f"the exclude {glob!r} fits nothing in {places}"))
    find_moved(catalogue, plans)
    for plan in plans:
        if order.prune and order.prune != "all" and plan.empty:
            raise LibraryError(
                f"not one of the {noun(plan.source.of_kind.of_vectors)} that {library} knows of {plan.source.root} is "
                f"there, so pruning would remove all {len(plan.missing) + len(plan.gone_before):,} of them: mount its "
                "drive, or say --prune-all if they are gone for good"
            )
    return plans


def _unfit(glob: str, source: Source) -> bool:
    """Whether an exclude that was asked for fits nothing of a source."""
    placed = below(glob, source.inside) if source.inside else [within(glob, str(source.root))]
    return all(each in ("", *source.unfit) for each in placed)


def summarize(catalogue: Catalogue, plans: Sequence[Plan]) -> AddPlan:
    """The plans as what a user reads."""
    new, changed, moved, missing = [], [], [], []
    for plan in plans:
        source = plan.source

        def where(path: str, source: Source = source) -> str:
            return source.of_kind.locate(str(source.root), path)

        new += [where(entry.path) for entry in plan.todo if entry.path not in plan.ids]
        changed += [where(entry.path) for entry in plan.todo if entry.path in plan.ids]
        keys = catalogue.keys([row.id for _, row in plan.moved] + plan.missing + plan.gone_before)
        for found, row in plan.moved:
            old = keys[row.id]
            moved.append((locate(old.kind, old.root, old.path), where(found.path)))
        missing += [where(keys[id].path) for id in (*plan.missing, *plan.gone_before)]
    return AddPlan(
        new,
        changed,
        moved,
        missing,
        sum(plan.unchanged for plan in plans),
        sum(plan.known_failures for plan in plans),
        left_out_of(plans),
    )


def left_out_of(plans: Sequence[Plan]) -> list[Group]:
    """What the sources hold and is not taken."""
    return LeftOut(group for plan in plans for group in (*plan.left_out, *plan.aside)).groups

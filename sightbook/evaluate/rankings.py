"""All rankings of one evaluation: of each model by its codes, by fine codes, with both sides as codes; of baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightbook.evaluate.baselines import CHANCE, Baseline
from sightbook.evaluate.details import Curve, curve
from sightbook.evaluate.judge import QueryFigures, judge, judge_chance
from sightbook.evaluate.metrics import definition
from sightbook.evaluate.ranking import Ranker, code_ranker, fine_ranker
from sightbook.evaluate.reading import Reading, Sighted
from sightbook.evaluate.relevance import Truth
from sightbook.evaluate.report import Figures, ModelFigures
from sightbook.model.model import Model
from sightbook.progress import Listener, Meter


@dataclass
class Rankings:
    """Judged by one definition of average precision, cut at R, on the same pictures. per_query, curves: what was found,
    by the title of a ranking, as in `Report.per_query`."""

    reading: Reading
    truth: Truth
    ap_definition: str
    R: int
    jobs: int
    with_curves: bool
    per_query: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    _meter: Meter | None = None

    def rows(
        self,
        models: Sequence[Model],
        names: Sequence[str],
        learned: Mapping[str, Baseline],
        listener: Listener,
    ) -> dict[str, Any]:
        """The rows of the report, by its fields: of the models, the first and those against it, of the first one's
        shorter codes, and of the baselines `names` as far as they could be `learned`."""
        count = 2 * len(models) + 2 * len(models[0].config.nested)
        count += sum(each.fine_bytes > 0 for each in models)
        count += sum(1 + (each.symmetric is not None) for each in learned.values())
        self._meter = Meter(listener, "rank", count * len(self.reading.queries), "queries")
        figures, *against = [
            self.of_model("model" if i == 0 else f"against {i - 1}", each, seen)
            for i, (each, seen) in enumerate(zip(models, self.reading.seen, strict=True))
        ]
        nested = self.of_prefixes(models[0])
        beside = {
            name: self.of_chance(name) if name == CHANCE else self.of_baseline(name, learned[name])
            for name in names
            if name == CHANCE or name in learned
        }
        self._meter.close()
        return {"figures": figures, "against": tuple(against), "nested": tuple(nested), "baselines": beside}

    def of_model(self, title: str, model: Model, seen: Sighted) -> ModelFigures:
        """By float query and stored code, by both as codes, and by fine codes where there are some."""
        tables = model.tables(seen.x)
        by_code = code_ranker(tables, seen.codes)
        found = self._judge(title, by_code)
        both = code_ranker(model.symmetric_tables(seen.query_codes), seen.codes)
        symmetric = self._judge(f"{title} symmetric", both)
        fine = None
        if seen.query_fine is not None and seen.fine is not None:
            # A definition that judges the whole ranking says nothing of how many answers are asked for.
            R = 0 if definition(self.ap_definition).whole else self.R
            by_fine = fine_ranker(
                by_code, tables, seen.codes, seen.query_fine, seen.fine, gain=model.fine_gain, R=R
            )
            finer = self._judge(f"{title} fine", by_fine)
            fine = Figures(finer.map, finer.mean_precision, bits=model.bits + 8 * model.fine_bytes)
        return ModelFigures(
            found.map,
            found.mean_precision,
            symmetric.map,
            model.bits,
            model=str(model.folder),
            fingerprint=model.fingerprint,
            method=model.config.method,
            pretraining=model.config.told_pretraining,
            selection=model.config.selection,
            fine=fine,
        )

    def of_prefixes(self, model: Model) -> list[ModelFigures]:
        """By the shorter codes inside those of the first model."""
        shorter = [model.prefix(bits) for bits in model.config.nested]
        seen = self.reading.seen[0]
        return [self.of_model(f"nested {each.bits}", each, seen.prefix(each)) for each in shorter]

    def of_baseline(self, name: str, baseline: Baseline) -> Figures:
        """By the baseline, and symmetrically where it has codes."""
        found = self._judge(name, baseline.ranker)
        both = baseline.symmetric
        symmetric = None if both is None else self._judge(f"{name} symmetric", both).map
        return Figures(found.map, found.mean_precision, symmetric, baseline.bits)

    def of_chance(self, name: str) -> Figures:
        """By a random order, as the formula says."""
        chance = judge_chance(self.truth, self.ap_definition, self.R)
        self.per_query[name] = chance.ap
        return Figures(chance.map, chance.mean_precision)

    def _judge(self, title: str, ranker: Ranker) -> QueryFigures:
        if self.with_curves and not title.endswith(" symmetric"):
            self.curves[title] = curve(ranker, self.truth, self.jobs)
        found = judge(
            ranker, self.truth, name=self.ap_definition, R=self.R, jobs=self.jobs, meter=self._meter
        )
        self.per_query[title] = found.ap
        return found

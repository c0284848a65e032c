"""One run of an experiment: trained, or trained on, judged, and written down as a document of plain types."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from sightbook.benchmark.circumstances import circumstances
from sightbook.benchmark.plan import Plan, Run
from sightbook.benchmark.tracking import criteria
from sightbook.evaluate.report import Figures, Report
from sightbook.evaluate.run import evaluate
from sightbook.evaluate.split import Split
from sightbook.learn import snapshots
from sightbook.model.config import ModelConfig
from sightbook.model.model import Model
from sightbook.progress import Listener


@dataclass(frozen=True)
class Making:
    """What the runs of a plan have in common: its pictures, the folder of the models, who is told."""

    plan: Plan
    split: Split
    folder: Path
    listener: Listener

    def make(self, run: Run, made_of: dict[str, str | None]) -> tuple[dict[str, Any], Report]:
        """(what the run found, the report on its model). made_of: digests of its pictures and of its weights."""
        of = blake2b(json.dumps(made_of, sort_keys=True).encode(), digest_size=3).hexdigest()
        place = self.folder / f"{run.name}-{run.digest}-{of}"
        if not (place / "config.json").exists():
            self._train(run, place)
        started = time.monotonic()
        states = [*(each.folder for each in snapshots.found(place / "train")), place]
        validated = self._judge(states, validation=True) if run.what.selection is not None else []
        chosen = states[int(np.argmax([each.map for each in validated]))] if validated else place
        model = Model.open(chosen)
        report = self._evaluate(model, baselines=self.plan.baselines, details=True)
        others = [each for each in states if each != chosen]
        figures = {chosen: report.figures, **dict(zip(others, self._judge(others), strict=True))}
        facts = ModelConfig.read(place)
        document = {
            **made_of,
            "failed": sorted(Path(one["picture"]).name for one in report.failed),
            "declared": run.what.model_dump(mode="json", exclude={"bits", "seeds"}),
            "method": facts.method,
            "backbone": _backbone(model),
            "pretraining": facts.told_pretraining,
            "selection": run.what.selection or facts.selection,
            "validation": [each.map for each in validated],
            "fingerprint": model.fingerprint,
            **_figures(report),
            "verdict": dict(model.config.verdict),
            "curves": _curves(report),
            "over_time": [_point(each, figures[each]) for each in states],
            "trained": dict(facts.trained),
            "pictures_per_second": _rate(facts.trained),
            "seconds": {"train": facts.trained["seconds"], "evaluate": round(time.monotonic() - started, 3)},
            "notes": list(report.notes),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            **circumstances(facts.trained),
        }
        return document, report

    def _train(self, run: Run, place: Path) -> None:
        """Trains, or goes on where an earlier call was stopped."""
        from sightbook.learn.train import train

        resume = (place / "train" / "config.yaml").exists()
        sources, keys = self.split.training_part()
        declared: dict[str, Any] = {} if resume else {
            "bits": run.bits, "nested": run.what.nested, "method": run.what.method, "backbone": run.what.backbone,
            "train_part": run.what.train, "minutes": run.what.minutes, "epochs": run.what.epochs, "seed": run.seed,
            "settings": dict(run.what.trained_with),
        }  # fmt: skip
        if place.exists() and not resume:
            shutil.rmtree(place)  # it was stopped before anything was learned
        plan = self.plan
        how: dict[str, Any] = {"device": plan.device, "jobs": plan.jobs, "listener": self.listener}
        train(sources, place, resume=resume, only=keys, **how, **declared)

    def _evaluate(self, model: Model | Path, **how: Any) -> Report:
        """By the plan's rules."""
        plan = self.plan
        data, labels = plan.places
        rules: dict[str, Any] = {
            "junk": plan.junk, "label_column": plan.label_column, "R": plan.R, "ap_definition": plan.ap_definition,
        }  # fmt: skip
        means: dict[str, Any] = {"jobs": plan.jobs, "listener": self.listener}
        return evaluate(model, plan.protocol, data, labels=labels, **rules, **means, **how)

    def _judge(self, states: list[Path], *, validation: bool = False) -> list[Figures]:
        """The figures of states of a training beside each other, without baselines."""
        if not states:
            return []
        found = self._evaluate(states[0], against=states[1:], baselines=(), validation=validation)
        return [found.figures, *found.against]


def _figures(report: Report) -> dict[str, Any]:
    """What was measured by which rules."""
    return {
        "ap_definition": report.ap_definition,
        "protocol": report.protocol,
        "R": report.R,
        "queries": report.queries,
        "database": report.database,
        "map": report.map,
        "map_symmetric": report.figures.map_symmetric,
        "precision": dict(report.figures.precision),
        "fine": None if report.figures.fine is None else asdict(report.figures.fine),
        "nested": [
            {"bits": one.bits, "map": one.map, "map_symmetric": one.map_symmetric} for one in report.nested
        ],
        "baselines": {name: asdict(one) for name, one in report.baselines.items()},
    }


def _curves(report: Report) -> dict[str, Any]:
    """Those of the whole codes and of the baselines."""
    assert report.details is not None
    return {
        name: {"at": one.at, "by_recall": one.by_recall}
        for name, one in report.details.curves.items()
        if not name.startswith(("against", "nested"))
    }


def _backbone(model: Model) -> str:
    backbone = model.config.network["backbone"]
    return str(backbone.get("name") or backbone["kind"])


def _rate(trained: Any) -> float | None:
    """Pictures per second of training by steps; None where there were none."""
    seconds = trained["seconds"] if trained["steps"] else 0
    return round(trained["steps"] * trained["batch"] / seconds, 1) if seconds else None


def _point(state: Path, figures: Figures) -> dict[str, Any]:
    """A state of training, for the curve of mAP over training time."""
    facts = ModelConfig.read(state)
    return {
        "seconds": facts.trained["seconds"],
        "epochs": facts.trained.get("epochs"),
        "map": figures.map,
        **criteria(facts.verdict),
    }

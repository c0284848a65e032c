"""What an evaluation found: a document for programs (`to_json`) and a table for people (`text`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightbook.errors import ConfigError
from sightbook.evaluate.details import Details
from sightbook.evaluate.metrics import definition
from sightbook.images.left_out import Group, sentence
from sightbook.words import columns, counted, verb

FORMAT = 1
_NOT_TOLD = ("per_query", "details")


@dataclass(frozen=True)
class Figures:
    """One row of the table. map_symmetric and bits are None where there is no code; precision holds means at N."""

    map: float
    precision: Mapping[str, float]
    map_symmetric: float | None = None
    bits: int | None = None


@dataclass(frozen=True)
class ModelFigures(Figures):
    """A row about a model, with what must stand beside it: where its weights and its choice come from. fine: what its
    fine codes (`codes.fine`) add, None where it has none; bits then counts both."""

    model: str = ""
    fingerprint: str = ""
    method: str = ""
    pretraining: str = ""
    selection: str = ""
    fine: Figures | None = None

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> ModelFigures:
        """From plain types; `fine` is absent in older reports. Raises KeyError and TypeError as they come."""
        plain = {item.name: content[item.name] for item in fields(cls) if item.name != "fine"}
        fine = content.get("fine")
        return cls(**plain, fine=None if fine is None else Figures(**fine))


@dataclass(frozen=True)
class Report:
    """The figures of a model on a protocol. `baselines` (float, thumbnail, random) and `against` (other models) are
    measured on the same pictures; `nested` are the model's own shorter codes. `failed` are pictures left out, each
    {picture, reason}; `left_out` what the data hold and was not taken, by reason, with names; `shared` counts queries
    whose very file is in the database; `junk` names the metadata column of the junk rule.

    `per_query` holds each ranking's average precision by query, (Q,) float64 in content order, for comparing runs by
    bootstrap ("model", "model symmetric", "model fine", baselines by name, "against 0" …); `details` what the plots
    show, where it was asked for. Neither is part of the document.
    """

    figures: ModelFigures
    protocol: str
    ap_definition: str
    R: int
    queries: int
    database: int
    classes: int
    queries_without_relevant: int
    unlabelled: int
    shared: int
    junk: str | None
    baselines: Mapping[str, Figures]
    against: tuple[ModelFigures, ...]
    nested: tuple[ModelFigures, ...]
    failed: tuple[Mapping[str, str], ...]
    notes: tuple[str, ...]
    seconds: float
    left_out: tuple[Group, ...] = ()
    per_query: Mapping[str, NDArray[np.float64]] = field(default_factory=dict, compare=False, repr=False)
    details: Details | None = field(default=None, compare=False, repr=False)

    @property
    def map(self) -> float:
        """Mean average precision of the codes, float query against stored code."""
        return self.figures.map

    def to_json(self) -> dict[str, Any]:
        """The whole report as plain types; the model's figures stand at the top level."""
        told = [item.name for item in fields(self) if item.name not in ("figures", *_NOT_TOLD)]
        content = {"format": FORMAT, **asdict(self.figures)}
        return content | {name: _plain(getattr(self, name)) for name in told}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Report:
        """The inverse of `to_json`. ConfigError when the document is no report, or of a newer format."""
        try:
            if content["format"] > FORMAT:
                raise ConfigError(
                    f"this report has format {content['format']}, newer than {FORMAT}: update sightbook"
                )
            made = ("figures", "baselines", "against", "nested", "failed", "notes", "left_out", *_NOT_TOLD)
            plain = {item.name: content[item.name] for item in fields(cls) if item.name not in made}
            return cls(
                figures=ModelFigures.of(content),
                baselines={name: Figures(**one) for name, one in content["baselines"].items()},
                against=tuple(ModelFigures.of(one) for one in content["against"]),
                nested=tuple(ModelFigures.of(one) for one in content["nested"]),
                failed=tuple(dict(one) for one in content["failed"]),
                notes=tuple(content["notes"]),
                # Absent in older reports.
                left_out=tuple(Group.of(one) for one in content.get("left_out", ())),
                **plain,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"this is no evaluation report ({error!r}): write one by `sightbook evaluate --json`"
            ) from None

    def text(self) -> str:
        """The report as plain text: a sentence, a table, and what must be known beside it."""
        whole = definition(self.ap_definition).whole
        score = "mAP" if whole else f"mAP@{self.R}"
        ranks = list(self.figures.precision)
        rows = [["", "bits", score, "symmetric", *(f"P@{n}" for n in ranks)]]
        for each in (self.figures, *self.against):
            rows.append(_row(f"{each.model} ({each.method})", each, ranks))
            if each.fine is not None:
                rows.append(_row("  with fine code", each.fine, ranks))
            if each is self.figures:
                rows.extend(_row("  its first bits alone", one, ranks) for one in self.nested)
        rows.extend(_row(baseline_title(name), one, ranks) for name, one in self.baselines.items())
        lines = [
            f"{self.protocol}: {counted(self.queries, 'query')}, {counted(self.database, 'picture')} in the database, "
            f"{counted(self.classes, 'class')}",
            f"{score} ({self.ap_definition}): {definition(self.ap_definition).sentence}",
            "",
            columns(rows, right=tuple(range(1, len(rows[0])))),
            "",
        ]
        lines.extend(
            f"{row.model}: pretraining {row.pretraining}, selection {row.selection}"
            for row in (self.figures, *self.against)
        )
        if self.junk:
            lines.append(f"junk rule: pictures with the query's own {self.junk} are taken out of its ranking")
        if self.queries_without_relevant:
            bare = self.queries_without_relevant
            lines.append(
                f"{counted(bare, 'query')} {verb(bare, 'have')} no relevant picture and {verb(bare, 'count')} 0"
            )
        if self.shared:
            asked = counted(self.shared, "query")
            lines.append(f"{asked} {verb(self.shared, 'are')} in the database as well, byte for byte")
        if self.failed:
            some = counted(len(self.failed), "picture")
            lines.append(f"{some} could not be read and {verb(len(self.failed), 'were')} left out:")
            lines.extend(f"  {one['picture']}: {one['reason']}" for one in self.failed[:10])
            if len(self.failed) > 10:
                lines.append("  …")
        if self.left_out:
            lines.append(f"left out of the data: {sentence(self.left_out)}; --json names them")
        lines.extend(self.notes)
        lines.append(f"{self.seconds:.1f} s")
        return "\n".join(lines) + "\n"


def _plain(value: Any) -> Any:
    """The value in types that JSON has."""
    if isinstance(value, Figures | Group):
        return asdict(value)
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


_BASELINE_TITLES = {
    "float": "exact float search, same embedding",
    "thumbnail": "8×8 colour thumbnail, PCA, PQ",
    "random": "random order (expected)",
    "features": "exact float search, backbone's features",
    "features-pca": "the features' whitened principal components, floats",
    "lsh": "the features, LSH",
    "pca-sign": "the features, PCA and sign",
    "itq": "the features, ITQ",
    "pq": "the features, PQ",
    "opq": "the features, OPQ",
}


def title_of(report: Report, name: str) -> str:
    """What people should read for a name of `Report.per_query`."""
    if name.endswith(" fine"):
        return f"{title_of(report, name.removesuffix(' fine'))}, with fine code"
    if name == "model":
        return f"{report.figures.method}, {report.figures.bits} bits"
    if name.startswith("against "):
        other = report.against[int(name.removeprefix("against "))]
        return f"{other.method}, {other.bits} bits ({other.model})"
    return baseline_title(name)


def baseline_title(name: str) -> str:
    """What people should read for a baseline's name."""
    return _BASELINE_TITLES.get(name, name)


def _row(title: str, figures: Figures, ranks: list[str]) -> list[str]:
    return [
        title,
        "–" if figures.bits is None else str(figures.bits),
        _share(figures.map),
        _share(figures.map_symmetric),
        *(_share(figures.precision.get(n)) for n in ranks),
    ]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"

"""results/NAME.json: what the runs of one experiment found, and under which circumstances; NAME.npz: average precision
of every query, for comparing by bootstrap. Both are rewritten after each run, so a stop loses the run at hand alone.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightbook.benchmark.plan import Plan, Run
from sightbook.errors import ConfigError
from sightbook.files import write_atomic

FORMAT = 1


@dataclass
class Results:
    """The finished runs of one experiment. `runs` are plain documents, by digest; `ap` (Q,) float16 by digest."""

    path: Path
    plan: Mapping[str, Any]
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    ap: dict[str, NDArray[np.float16]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.path.stem

    @classmethod
    def open(cls, path: Path) -> Results:
        """Reads a file of results. ConfigError when it is damaged or of a newer format."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] > FORMAT:
                raise ConfigError(
                    f"{path} has format {content['format']}, newer than {FORMAT}: update sightbook"
                )
            runs = {run["digest"]: run for run in content["runs"]}
            plan = content["plan"]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ConfigError(
                f"{path} is no file of results ({error!r}): move it away and run the experiment again"
            ) from None
        found = cls(path, plan, runs)
        try:
            with np.load(path.with_suffix(".npz"), allow_pickle=False) as file:
                found.ap = {name: file[name] for name in file.files if name in runs}
        except (OSError, ValueError):
            found.ap = {}  # means stay; only the comparison by bootstrap needs the queries one by one
        return found

    @classmethod
    def of(cls, path: Path, plan: Plan) -> Results:
        """What is known of `plan` already, or nothing yet.

        ConfigError when the file speaks of another protocol or definition of average precision: their figures must not
        share a table.
        """
        told = plan.model_dump(mode="json")
        if not path.exists():
            return cls(path, told)
        found = cls.open(path)
        for key in ("protocol", "ap_definition", "R", "junk"):
            if found.plan.get(key) != told[key]:
                raise ConfigError(
                    f"{path} holds figures of {key} {found.plan.get(key)}, this plan says {told[key]}: give the plan "
                    "another file name, they must not share a table"
                )
        found.plan = told
        return found

    def add(self, run: Run, document: Mapping[str, Any], ap: NDArray[np.float64]) -> None:
        """Keeps what a run found, in place of what the same cell, bits and seed found under other settings."""
        for digest, old in list(self.runs.items()):
            if (old["cell"], old["bits"], old["seed"]) == (run.cell, run.bits, run.seed):
                del self.runs[digest]
                self.ap.pop(digest, None)
        self.runs[run.digest] = {
            "cell": run.cell,
            "bits": run.bits,
            "seed": run.seed,
            "digest": run.digest,
            **document,
        }
        self.ap[run.digest] = ap.astype(np.float16)
        self.save()

    def save(self) -> None:
        """Writes both files."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{name: self.ap[name] for name in sorted(self.ap)})  # type: ignore[arg-type]
        write_atomic(self.path.with_suffix(".npz"), buffer.getvalue())
        runs = sorted(self.runs.values(), key=lambda run: (run["cell"], run["bits"], run["seed"]))
        content = {"format": FORMAT, "name": self.name, "plan": self.plan, "runs": runs}
        write_atomic(self.path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    def cells(self) -> list[str]:
        """The lines of the table: those declared, in that order, then others that were run earlier."""
        declared = list(Plan.model_validate(self.plan).all_cells)
        return declared + sorted({run["cell"] for run in self.runs.values()} - set(declared))

    def found(self, cell: str, bits: int | None = None) -> list[dict[str, Any]]:
        """The runs of a cell, by seed."""
        runs = [run for run in self.runs.values() if run["cell"] == cell and bits in (None, run["bits"])]
        return sorted(runs, key=lambda run: (run["bits"], run["seed"]))


def every(folder: Path) -> Iterator[Results]:
    """All files of results in a folder, by name."""
    for path in sorted(folder.glob("*.json")):
        yield Results.open(path)

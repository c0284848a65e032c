"""results/NAME.json: what the runs of one experiment found, and under which circumstances; NAME.npz: average precision
of every query, for comparing by bootstrap. Both are rewritten after each run, so a stop loses the run at hand alone.

Each run keeps the digest of the data it was judged on (`benchmark.data`), and the file that of the plan's present data:
runs of other data are put aside, kept in the file and shown in no table, until they are made anew. Runs of files that
were written before there were such digests have none; they count as before.
"""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from sightbook.benchmark.plan import Plan, Run, faults
from sightbook.errors import ConfigError
from sightbook.files import write_atomic

FORMAT = 1


@dataclass
class Results:
    """The finished runs of one experiment. `runs` are plain documents, by digest; `ap` (Q,) float16 by digest.

    data: digest of the data that all of `runs` are of, None: not known; aside: runs of other data, or weights.
    """

    path: Path
    plan: Plan
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    ap: dict[str, NDArray[np.float16]] = field(default_factory=dict)
    data: str | None = None
    aside: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.path.stem

    @classmethod
    def open(cls, path: Path) -> Results:
        """Reads a file of results. ConfigError when it is damaged or of a newer format, or when its plan is none
        here."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] > FORMAT:
                raise ConfigError(
                    f"{path} has format {content['format']}, newer than {FORMAT}: update sightbook"
                )
            runs = {run["digest"]: run for run in content["runs"]}
            aside = {run["digest"]: run for run in content.get("aside", ())}
            plan, data = Plan.model_validate(content["plan"]), content.get("data")
        except ValidationError as error:
            raise ConfigError(
                f"the plan in {path} does not fit this installation ({faults(error)}): install what it names, or move "
                "the file away"
            ) from None
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ConfigError(
                f"{path} is no file of results ({error!r}): move it away and run the experiment again"
            ) from None
        found = cls(path, plan, runs, data=data, aside=aside)
        try:
            with np.load(path.with_suffix(".npz"), allow_pickle=False) as file:
                found.ap = {name: file[name] for name in file.files if name in runs or name in aside}
        except (OSError, ValueError, EOFError, BadZipFile, zlib.error):
            found.ap = {}  # means stay; only the comparison by bootstrap needs the queries one by one
        return found

    @classmethod
    def of(cls, path: Path, plan: Plan) -> Results:
        """What is known of `plan` already, or nothing yet.

        ConfigError when the file speaks of another protocol or definition of average precision: their figures must not
        share a table.
        """
        if not path.exists():
            return cls(path, plan)
        found = cls.open(path)
        for key in ("protocol", "ap_definition", "R", "junk"):
            before, now = getattr(found.plan, key), getattr(plan, key)
            if before != now:
                raise ConfigError(
                    f"{path} holds figures of {key} {before}, this plan says {now}: give the plan another file name, "
                    "they must not share a table"
                )
        found.plan = plan
        return found

    def settle(self, data: str, sizes: tuple[int, int], weights: Mapping[str, str | None]) -> tuple[int, int]:
        """The plan's data are these: runs of others go aside, those of these come back. Returns how many are aside, and
        how many say nothing of their data: those stay where their numbers of queries and pictures are `sizes`.

        weights: by cell, those of a local backbone.
        """
        self.data = data
        every_run = {**self.aside, **self.runs}

        def fits(run: Mapping[str, Any]) -> bool:
            if "data" not in run:
                return (run["queries"], run["database"]) == sizes
            return bool(run["data"] == data) and run.get("weights") == weights.get(
                run["cell"], run.get("weights")
            )

        self.runs = {digest: run for digest, run in every_run.items() if fits(run)}
        self.aside = {digest: run for digest, run in every_run.items() if digest not in self.runs}
        return len(self.aside), sum("data" not in run for run in self.runs.values())

    def add(self, run: Run, document: Mapping[str, Any], ap: NDArray[np.float64]) -> None:
        """Keeps what a run found, in place of what the same cell, bits and seed found under other settings."""
        made = {"cell": run.cell, "bits": run.bits, "seed": run.seed, "digest": run.digest, **document}
        for runs in (self.runs, self.aside):
            for digest, old in list(runs.items()):
                if _what(old) == _what(made):
                    del runs[digest]
                    self.ap.pop(digest, None)
        self.runs[run.digest] = made
        self.ap[run.digest] = ap.astype(np.float16)
        self.save()

    def save(self) -> None:
        """Writes both files, with the runs that another call has added to them meanwhile."""
        self._take_in()
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{name: self.ap[name] for name in sorted(self.ap)})  # type: ignore[arg-type]
        write_atomic(self.path.with_suffix(".npz"), buffer.getvalue())
        content = {"format": FORMAT, "name": self.name, "plan": self.plan.model_dump(mode="json")}
        if self.data is not None:
            content["data"] = self.data
        content["runs"] = _ordered(self.runs)
        if self.aside:
            content["aside"] = _ordered(self.aside)
        write_atomic(self.path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    def _take_in(self) -> None:
        """Runs of the file that are not known here: another call, of other cells in another folder of work, made
        them."""
        if not self.path.exists():
            return
        there = Results.open(self.path)
        ours = {_what(run) for run in (*self.runs.values(), *self.aside.values())}
        for digest, run in {**there.aside, **there.runs}.items():
            if _what(run) not in ours:
                (self.runs if run.get("data") == self.data else self.aside)[digest] = run
                self.ap |= {digest: there.ap[digest]} if digest in there.ap else {}

    def cells(self) -> list[str]:
        """The lines of the table: those declared, in that order, then others that were run earlier."""
        declared = list(self.plan.all_cells)
        return declared + sorted({run["cell"] for run in self.runs.values()} - set(declared))

    def found(self, cell: str, bits: int | None = None) -> list[dict[str, Any]]:
        """The runs of a cell, by seed."""
        runs = [run for run in self.runs.values() if run["cell"] == cell and bits in (None, run["bits"])]
        return sorted(runs, key=lambda run: (run["bits"], run["seed"]))


def every(folder: Path) -> Iterator[Results]:
    """All files of results in a folder, by name; a file that holds a list is a table of another program."""
    for path in sorted(folder.glob("*.json")):
        if not path.read_bytes().lstrip().startswith(b"["):
            yield Results.open(path)


def _what(run: Mapping[str, Any]) -> tuple[str, int, int]:
    """What was run: at most one result of it is kept."""
    return run["cell"], run["bits"], run["seed"]


def _ordered(runs: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(runs.values(), key=_what)

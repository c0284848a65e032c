"""A declared experiment, as its YAML file says it, and the single runs it is made of.

Data flow: FILE.yaml → `Plan` (validated) → `runs`: one for each cell, length of code and seed. A run's `digest` is that
of everything that decides its figures; results are kept under it.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, model_validator

from sightbook.benchmark.cell import Cell, Declared, Grid, check_closed, named
from sightbook.errors import ConfigError
from sightbook.evaluate import baselines as baseline
from sightbook.evaluate.metrics import DEFAULT, check_cut, definition
from sightbook.evaluate.parts import place
from sightbook.evaluate.protocols import protocol as protocol_named
from sightbook.learn.settings.config import setting_names
from sightbook.learn.settings.layers import merge, parse_path, read_file
from sightbook.learn.settings.presets import for_closed_form

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")  # for the name of a folder
# What runs are told apart by.
_KEYS = {"method", "bits", "seed", "epochs", "minutes"}


class Plan(Declared):
    """One experiment under one protocol; see docs/benchmark.md for what each key means."""

    title: str
    protocol: Annotated[str, named(protocol_named)]
    data: str
    labels: str | None = None
    label_column: str | None = None
    junk: str | None = None
    R: int | None = Field(None, ge=1)
    ap_definition: Annotated[str, named(definition)] = DEFAULT
    baselines: tuple[str, ...] = baseline.USUAL
    minutes: float | None = Field(None, gt=0)
    epochs: int | None = Field(None, ge=0)
    bits: tuple[int, ...] = Field((64,), min_length=1)
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    device: str = "auto"
    jobs: int | None = Field(None, ge=1)
    settings: Mapping[str, Any] = Field(default_factory=dict)
    cells: Mapping[str, Cell] = Field(default_factory=dict)
    grids: Mapping[str, Grid] = Field(default_factory=dict)
    reference: str | None = None

    @model_validator(mode="after")
    def _judged(self) -> Plan:
        # Else it would be known when the first run has been trained.
        try:
            check_cut(self.R, self.ap_definition)
            baseline.named(self.baselines)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return self

    @model_validator(mode="after")
    def _fit(self) -> Plan:
        if not self.cells and not self.grids:
            raise ValueError("there is nothing to train: name at least one of cells or grids")
        for name in (*self.cells, *self.grids):
            if not _NAME.fullmatch(name):
                raise ValueError(f"the name {name!r} becomes a folder: use letters, digits, . _ and -")
        names = [*self.cells, *(name for grid in self.grids for name, _ in self.members(grid))]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(
                f"two cells are called {twice!r}: rename one, or leave out a value that is there twice"
            )
        _check_settings("the plan", self.settings)
        for name, cell in self.all_cells.items():
            _check_settings(name, cell.settings)
            if cell.closed_form:
                check_closed(name, cell)
            if not cell.closed_form and (cell.minutes is None) == (cell.epochs is None):
                raise ValueError(
                    f"{name} needs a budget: either minutes or epochs, there or for the whole plan"
                )
        if self.reference is not None and self.reference not in self.all_cells:
            raise ValueError(f"the reference {self.reference!r} is none of the cells")
        return self

    @property
    def all_cells(self) -> dict[str, Cell]:
        """Every line of the table by name, those of grids included, with what the plan says for all laid below."""
        members = (member for grid in self.grids for member in self.members(grid))
        return {**{name: self._whole(cell) for name, cell in self.cells.items()}, **dict(members)}

    def members(self, grid: str) -> list[tuple[str, Cell]]:
        """The cells of a grid with their names, row by row as its heat map has them."""
        cell, over = self.grids[grid].cell, self.grids[grid].over
        found = []
        for values in itertools.product(*over.values()):
            pairs = dict(zip(over, values, strict=True))
            told = "-".join(f"{key.rpartition('.')[2]}_{value}" for key, value in pairs.items())
            settings = merge(cell.settings, *(parse_path(key, value) for key, value in pairs.items()))
            made = self._whole(cell.model_copy(update={"settings": settings}))
            found.append((f"{grid}-{_UNFIT.sub('_', told)}", made))
        return found

    def _whole(self, cell: Cell) -> Cell:
        budget, common = {"minutes": self.minutes, "epochs": self.epochs}, self.settings
        if cell.minutes is not None or cell.epochs is not None:
            budget = {"minutes": cell.minutes, "epochs": cell.epochs}
        if cell.closed_form:
            budget, common = {"minutes": None, "epochs": None}, for_closed_form(self.settings)
        return cell.model_copy(
            update={
                **budget,
                "bits": cell.bits or self.bits,
                "seeds": cell.seeds or self.seeds,
                "settings": merge(common, cell.settings),
            }
        )

    @property
    def compared(self) -> str:
        """The cell that is compared with every other."""
        return self.reference or next(iter(self.all_cells))

    @property
    def places(self) -> tuple[Path, Path | None]:
        """Where data and labels are here. The plan itself keeps the words of its file: results name no machine."""
        labels = None if self.labels is None else place(os.path.expandvars(self.labels))
        return place(os.path.expandvars(self.data)), labels

    def with_epochs(self, epochs: int) -> Plan:
        """The same plan with this budget for every run that has one."""
        budget = {"epochs": epochs, "minutes": None}

        def cut(cell: Cell) -> Cell:
            return cell if cell.closed_form else cell.model_copy(update=budget)

        return self.model_copy(
            update={
                **budget,
                "cells": {name: cut(cell) for name, cell in self.cells.items()},
                "grids": {
                    name: grid.model_copy(update={"cell": cut(grid.cell)})
                    for name, grid in self.grids.items()
                },
            }
        )

    def runs(self) -> Iterator[Run]:
        """Every single run, first seeds first: a table is filled as evenly as the time allows."""
        cells = self.all_cells
        for turn in range(max(len(cell.seeds or ()) for cell in cells.values())):
            for name, cell in cells.items():
                for bits in cell.bits or ():
                    seeds = cell.seeds or ()
                    if turn < len(seeds):
                        yield Run(name, cell, bits, seeds[turn], self._digest(cell, bits, seeds[turn]))

    def _digest(self, cell: Cell, bits: int, seed: int) -> str:
        # The key came later than the first results, whose digests stay as they were.
        unsaid = {"selection"} if cell.selection is None else set()
        decisive = {
            "protocol": [self.protocol, self.R, self.ap_definition, self.junk],
            "cell": cell.model_dump(exclude={"bits", "seeds"} | unsaid),
            "bits": bits,
            "seed": seed,
        }
        text = json.dumps(decisive, sort_keys=True, default=str)
        return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _check_settings(name: str, settings: Mapping[str, Any]) -> None:
    """ValueError for settings that are none, or would win over keys whose names stand beside the figures."""
    if said := sorted(_KEYS & settings.keys()):
        raise ValueError(
            f"{name} has {', '.join(said)} among its settings: say it as a key of the cell or of the plan"
        )
    # A cell in closed form passes by what it does not know.
    known = {key.partition(".")[0] for key in setting_names()}
    if unknown := next((key for key in settings if key.partition(".")[0] not in known), None):
        raise ValueError(
            f"{name} has {unknown} among its settings, which is none: see docs/commands.md, settings"
        )


@dataclass(frozen=True)
class Run:
    """One training and its evaluation. `digest` names everything declared that decides its figures."""

    cell: str
    what: Cell
    bits: int
    seed: int
    digest: str

    @property
    def name(self) -> str:
        """Of the run's folder, and for people."""
        return f"{self.cell}-{self.bits}-seed{self.seed}"


def read_plan(path: Path) -> Plan:
    """The plan of a YAML file. $NAME in `data` and `labels` are environment variables, which must be set; relative
    paths are those of the current folder. ConfigError in one sentence for anything that does not fit."""
    content = read_file(path)
    for key in ("data", "labels"):
        missing = re.search(r"\$\{?(\w+)", os.path.expandvars(str(content.get(key, ""))))
        if missing:
            raise ConfigError(
                f"{path} needs the environment variable {missing[1]}: set it to the folder of the pictures"
            )
    try:
        return Plan.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{path}: {faults(error)}") from None


def faults(error: ValidationError) -> str:
    """What does not fit in a plan, in words."""
    found = []
    for fault in error.errors():
        where = ".".join(str(part) for part in fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            message = "is no key of a plan; see docs/benchmark.md"
        found.append(f"{where} {message}".strip())
    return "; ".join(found)


def dump_plan(plan: Plan) -> str:
    """The plan as YAML."""
    return yaml.safe_dump(plan.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

"""A cell of a declared experiment: what is trained, with its settings, and grids of such."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from sightbook.errors import ConfigError
from sightbook.learn.choice import by_steps
from sightbook.learn.methods.registry import find
from sightbook.learn.settings.layers import merge
from sightbook.learn.settings.presets import DEFAULT_FROZEN_METHOD, DEFAULT_METHOD
from sightbook.model.builtin import BUILTIN


def named(look_up: Callable[[str], object]) -> AfterValidator:
    """A name that `look_up` knows; its ConfigError is a fault of the plan."""

    def check(name: str) -> str:
        try:
            look_up(name)
        except ConfigError as error:
            raise ValueError(str(error).removeprefix("method ")) from None
        return name

    return AfterValidator(check)


class Declared(BaseModel):
    """A part of a plan: it does not change, and knows its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Cell(Declared):
    """What is trained: a line of the table. What it leaves out it takes from the plan.

    A method in closed form has no budget and no settings of steps: those of the whole plan pass it by.
    """

    method: Annotated[str, named(find)] = DEFAULT_METHOD
    backbone: str | None = None
    train: str | None = None  # what of a pretrained backbone: all, last:N, head
    settings: Mapping[str, Any] = Field(default_factory=dict)
    nested: bool = False
    # Chosen by a validation cut; the other ways to choose are settings of training.
    selection: Literal["train-labels"] | None = None
    bits: tuple[int, ...] | None = None
    seeds: tuple[int, ...] | None = None
    minutes: float | None = Field(None, gt=0)
    epochs: int | None = Field(None, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _default_method(cls, said: Any) -> Any:
        """As in `train`: what learns nothing but codes learns them in closed form, unless a method is named."""
        if said is None:  # `ours:` with nothing behind it
            said = {}
        if not isinstance(said, Mapping):
            return said
        frozen = said.get("train", "head" if said.get("backbone") == BUILTIN else None) == "head"
        return {"method": DEFAULT_FROZEN_METHOD, **said} if frozen else said

    @model_validator(mode="after")
    def _one_choice(self) -> Cell:
        if self.selection is not None and self.settings.get("selection", "last") != "last":
            raise ValueError(
                f"selection is {self.selection} here and {self.settings['selection']} in the settings: choose one"
            )
        return self

    @model_validator(mode="after")
    def _closed(self) -> Cell:
        if not self.closed_form:
            return self
        budget = next((key for key in ("minutes", "epochs") if getattr(self, key) is not None), None)
        nothing = f"would do nothing: method {self.method} learns in closed form, in seconds"
        if budget is not None:
            raise ValueError(f"{budget} {nothing}; leave it out")
        if self.selection is not None:
            raise ValueError(f"selection {nothing}, and has one state to choose from; leave it out")
        if self.train not in (None, "head"):
            raise ValueError(
                f"train {self.train} {nothing}, from a backbone that is not trained; leave it out"
            )
        return self

    @property
    def closed_form(self) -> bool:
        """Whether it learns without steps: no budget, no states on the way."""
        return self.method == DEFAULT_FROZEN_METHOD

    @property
    def trained_with(self) -> Mapping[str, Any]:
        """The settings of training: with states to choose from, where a validation cut is to choose."""
        return self.settings if self.selection is None else merge({"snapshots": 9}, self.settings)


class Grid(Declared):
    """Cells made of all combinations of settings: over {clip: [0, 0.05], batch: [64, 128]} makes four."""

    cell: Cell = Cell()
    over: Mapping[str, tuple[Any, ...]]

    @field_validator("over")
    @classmethod
    def _two(cls, over: Mapping[str, tuple[Any, ...]]) -> Mapping[str, tuple[Any, ...]]:
        if not 1 <= len(over) <= 2 or not all(over.values()):
            raise ValueError("names one or two settings, each with its values")
        return over


def check_closed(name: str, cell: Cell) -> None:
    """ValueError for a cell in closed form with settings of steps, or without a network to learn from."""
    foreign, section = sorted(by_steps(cell.settings)), cell.settings.get("backbone")
    if foreign:
        raise ValueError(
            f"{name} has settings that would do nothing, {', '.join(foreign)}: method {cell.method} learns in closed "
            "form; leave them out"
        )
    named = isinstance(section, Mapping) and section.get("name")
    if cell.backbone in (None, "vit", "resnet") and not named:
        raise ValueError(
            f"{name} needs a backbone that is not trained for method {cell.method}: add backbone: {BUILTIN}, or the "
            "name or folder of a pretrained one"
        )

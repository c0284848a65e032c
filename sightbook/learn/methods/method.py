"""What a method is: a loss, the terms that it alone has, and the settings that go with it. No torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass, make_dataclass
from typing import Any, get_type_hints

from sightbook.errors import ConfigError
from sightbook.learn.settings.layers import Settings

OURS = "sightbook"
_TERM = (bool, int, float, str)


@dataclass(frozen=True)
class Paper:
    """A method as its paper and released code have it, for `--preset paper`. Sources: docs/methods.md.

    settings: what is different from equal terms; epochs: how long it trains; untold: settings, by name, of which
    nothing was published, and which keep our value; instead: what stands in for something that is not here.
    """

    settings: Settings = field(default_factory=dict)
    epochs: int | None = None
    untold: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()


@dataclass(frozen=True)
class Method:
    """How to learn, in one object.

    loss: a function (batch: `ViewBatch`, given: `Given`) → scalar tensor, or {name: scalar tensor}, whose sum is the
    loss; or where such a function is, "package.module:name", imported when it is first used. None: there is no loss,
    codes are learned in closed form (built in only).
    settings: the method's own defaults, nested as in train/config.yaml.
    terms: the settings that only this method has, a dataclass of numbers, truth values or words, or a mapping; they may
    stand in `settings` under "terms" instead. `given.terms` has them, `--set terms.NAME=VALUE` changes them, any other
    name is refused. Annotations of the dataclass say what a value may be.
    paper: what is different where the paper's own terms are asked for (`--preset paper`), or a mapping of that alone.
    local: whether the loss looks at `batch.local`, views of small parts (`views.local`).
    gpu: what is different from scratch on a GPU, where a step on a small network takes about as long for a few pictures
    as for some hundred.
    frozen: what is different over a frozen backbone; frozen_wide: and there with codebooks of 256 codewords.
    origin: who brought it.
    """

    loss: Callable[[Any, Any], Any] | str | None
    settings: Settings = field(default_factory=dict)
    gpu: Settings = field(default_factory=dict)
    frozen: Settings = field(default_factory=dict)
    frozen_wide: Settings = field(default_factory=dict)
    paper: Paper = field(default_factory=Paper)
    terms: Any = None
    local: bool = False
    origin: str = "this program"

    def __post_init__(self) -> None:
        if not (self.loss is None or isinstance(self.loss, str) or callable(self.loss)):
            raise ConfigError(f"a method's loss is a function, not a {type(self.loss).__name__}")
        paper = self.paper if isinstance(self.paper, Paper) else Paper(self.paper)  # a mapping: what it says
        _check("paper", paper.settings)
        for name in ("settings", "gpu", "frozen", "frozen_wide"):
            _check(name, getattr(self, name))
        settings = dict(self.settings)
        below = settings.pop("terms", {})
        terms = _hold(below if self.terms is None else self.terms)
        if plain := asdict(terms):
            settings["terms"] = plain
        for name, value in (("settings", settings), ("terms", terms), ("paper", paper)):
            object.__setattr__(self, name, value)

    @property
    def built_in(self) -> bool:
        """Whether it comes with the program."""
        return self.origin == OURS

    @property
    def term_names(self) -> list[str]:
        """The names of its terms."""
        return list(asdict(self.terms))

    def function(self) -> Callable[[Any, Any], Any]:
        """The loss, imported where it has to be."""
        assert self.loss is not None, "learning in closed form has no loss"
        if not isinstance(self.loss, str):
            return self.loss
        module, _, name = self.loss.partition(":")
        found: Callable[[Any, Any], Any] = getattr(importlib.import_module(module), name)
        return found


def _check(what: str, settings: Any) -> None:
    """ConfigError for what train/config.yaml could not hold."""
    if not isinstance(settings, Mapping):
        raise ConfigError(f"a method's {what} are a mapping, not a {type(settings).__name__}")
    if "method" in settings:
        raise ConfigError(f"a method's {what} cannot name a method")


def _hold(terms: Any) -> Any:
    """Terms as a dataclass with their defaults. ConfigError for what train/config.yaml could not hold."""
    if isinstance(terms, type) and is_dataclass(terms):
        terms = terms()
    if not isinstance(terms, Mapping) and not is_dataclass(terms):
        raise ConfigError(f"a method's terms are a mapping or a dataclass, not a {type(terms).__name__}")
    plain = dict(terms) if isinstance(terms, Mapping) else asdict(terms)  # type: ignore[arg-type]
    for name, value in plain.items():
        if not isinstance(name, str) or not name.isidentifier() or not isinstance(value, _TERM):
            raise ConfigError(
                f"terms.{name} of a method is {value!r}: give a number, true or false, or a word"
            )
    if not isinstance(terms, Mapping):
        try:
            get_type_hints(type(terms))
        except NameError as error:
            raise ConfigError(
                f"the annotations of a method's terms cannot be read ({error}): correct them"
            ) from None
        return terms
    return make_dataclass(
        "Terms", [(name, type(value), value) for name, value in plain.items()], frozen=True
    )()

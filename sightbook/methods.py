"""Which methods there are: the built-in ones, those of installed packages, and those that a program registers.

Data flow: a name → `find` → `Method`: a loss and the settings that go with it. What is installed is looked up in the
entry points of the group `sightbook.methods`, and imported when it is asked for, not before; so one that is broken is
in nobody's way. A file of one's own is opened only where the user names it (`from_file`): no MODEL folder, plan or
settings file can have code run.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Any

from sightbook.errors import ConfigError
from sightbook.settings import Settings

GROUP = "sightbook.methods"
_OURS = "sightbook"
_TERM = (bool, int, float, str)


@dataclass(frozen=True)
class Method:
    """How to learn, in one object.

    loss: a function (batch: `ViewBatch`, config: `TrainConfig`) → scalar tensor, or {name: scalar tensor}, whose sum is
    the loss; or where such a function is, "package.module:name", imported when it is first used. None: there is no
    loss, codes are learned in closed form (built in only).
    settings: the method's own defaults, nested as in train/config.yaml. Under "terms" stand the settings that only this
    method has, a mapping or a dataclass of numbers, truth values or words: `config.term(name)` gives them, `--set
    terms.NAME=VALUE` changes them, any other name is refused.
    paper: what is different where the paper's own terms are asked for (`--preset paper`).
    local: whether the loss looks at `batch.local`, views of small parts (`views.local`).
    frozen: what is different over a frozen backbone; frozen_wide: and there with codebooks of 256 codewords.
    origin: who brought it.
    """

    loss: Callable[[Any, Any], Any] | str | None
    settings: Settings = field(default_factory=dict)
    frozen: Settings = field(default_factory=dict)
    frozen_wide: Settings = field(default_factory=dict)
    paper: Settings = field(default_factory=dict)
    local: bool = False
    origin: str = "this program"

    def __post_init__(self) -> None:
        if not (self.loss is None or isinstance(self.loss, str) or callable(self.loss)):
            raise ConfigError(f"a method's loss is a function, not a {type(self.loss).__name__}")
        for name in ("settings", "frozen", "frozen_wide", "paper"):
            object.__setattr__(self, name, _plain(name, getattr(self, name)))

    @property
    def built_in(self) -> bool:
        """Whether it comes with the program."""
        return self.origin == _OURS

    @property
    def terms(self) -> Mapping[str, Any]:
        """The settings that only this method has, with their defaults."""
        found: Mapping[str, Any] = self.settings.get("terms", {})
        return found

    def function(self) -> Callable[[Any, Any], Any]:
        """The loss, imported where it has to be."""
        assert self.loss is not None, "learning in closed form has no loss"
        if not isinstance(self.loss, str):
            return self.loss
        module, _, name = self.loss.partition(":")
        found: Callable[[Any, Any], Any] = getattr(importlib.import_module(module), name)
        return found


_KNOWN: dict[str, Method] = {}


def register(name: str, method: Method) -> Method:
    """Makes a method known by `name` in this process; one that was registered before under this name is replaced.

    ConfigError when the name is that of a built-in method, or no name.

    >>> register("pull", Method(loss, settings={"tau": 0.3, "terms": {"pull": 0.1}}))
    """
    if not isinstance(method, Method):
        raise ConfigError(
            f"method {name!r} is a {type(method).__name__}: wrap its loss in sightbook.learn.Method"
        )
    if not isinstance(name, str) or not name.isidentifier():
        raise ConfigError(f"the name {name!r} of a method must be letters, digits and _, a letter first")
    if not method.built_in:
        if name in _KNOWN and _KNOWN[name].built_in:
            raise ConfigError(f"method {name!r} of {method.origin} has the name of a built-in one: rename it")
        if method.loss is None:
            raise ConfigError(f"method {name!r} of {method.origin} has no loss")
    _KNOWN[name] = method
    return method


def names() -> list[str]:
    """All that can be asked for: built in, registered, installed; nothing is imported for that."""
    ours = [name for name, method in _KNOWN.items() if method.built_in]
    return [*ours, *sorted({*_KNOWN, *_installed()} - set(ours))]


def find(name: str) -> Method:
    """The method of this name.

    ConfigError when there is none, when two packages bring it, or when the package that does is broken.
    """
    if name in _KNOWN:
        return _KNOWN[name]
    points = _installed().get(name, [])
    if not points:
        raise ConfigError(_unknown(name))
    if len(points) > 1:
        who = " and ".join(sorted(map(_owner, points)))
        raise ConfigError(f"method {name!r} comes with {who}: uninstall one of them")
    owner = _owner(points[0])
    try:
        method = points[0].load()
    except Exception as error:
        raise ConfigError(
            f"method {name!r} of {owner} cannot be loaded ({type(error).__name__}: {error}): repair or uninstall that "
            "package, or choose another method"
        ) from error
    if not isinstance(method, Method):
        raise ConfigError(
            f"method {name!r} of {owner} is a {type(method).__name__}: its entry point must name a learn.Method"
        )
    return register(name, replace(method, origin=owner))


def hidden() -> list[str]:
    """A sentence for each installed method that nobody can ask for, since its name is that of a built-in one."""
    return [
        f"method {name!r} of {_owner(point)} is not used: it has the name of a built-in one, and must be renamed"
        for name, points in sorted(_installed().items())
        for point in points
        if name in _KNOWN and _KNOWN[name].built_in
    ]


def split_file(name: str) -> tuple[Path | None, str]:
    """'mine.py:pull' → (Path('mine.py'), 'pull'); any other name → (None, name). ConfigError for a file alone."""
    file, colon, inside = name.rpartition(":")
    if colon and file.endswith(".py"):
        return Path(file), inside
    if name.endswith(".py"):
        raise ConfigError(f"--method {name} names no method in that file: write {name}:NAME")
    return None, name


def from_file(path: Path, name: str) -> Method:
    """Runs a Python file and registers the `Method` that stands in it as `name`, under that name.

    Only for a file that the user names: this is the one place where a path becomes running code. ConfigError when the
    file cannot be run, or has no such method.
    """
    if not path.is_file():
        raise ConfigError(f"{path} is not there: --method takes FILE.py:NAME, or one of {', '.join(names())}")
    module_name = f"sightbook_method_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses look for their module there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(f"{path} cannot be run ({type(error).__name__}: {error}): correct it") from error
    method = getattr(module, name, None)
    if not isinstance(method, Method):
        there = [key for key, value in vars(module).items() if isinstance(value, Method)]
        raise ConfigError(
            f"{path} has no method {name!r}: "
            + (
                f"it has {', '.join(there)}"
                if there
                else f"write {name} = sightbook.learn.Method(loss) in it"
            )
        )
    return register(name, replace(method, origin=str(path)))


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, names(), 1)
    told = f"method {name!r} is unknown: choose one of {', '.join(names())}"
    if name.rpartition(":")[0].endswith(".py"):
        return f"{told}; a file is run only where --method itself names it"
    return told + (f"; did you mean {near[0]}?" if near else "")


def _installed() -> dict[str, list[importlib.metadata.EntryPoint]]:
    """The entry points of the group by name; the same package twice on the path counts once."""
    found: dict[str, dict[tuple[str, str], importlib.metadata.EntryPoint]] = {}
    for point in importlib.metadata.entry_points(group=GROUP):
        found.setdefault(point.name, {}).setdefault((point.value, _owner(point)), point)
    return {name: list(points.values()) for name, points in found.items()}


def _owner(point: importlib.metadata.EntryPoint) -> str:
    return f"package {point.dist.name}" if point.dist is not None else point.value


def _plain(what: str, settings: Any) -> dict[str, Any]:
    """Settings as plain nested mappings. ConfigError for what train/config.yaml could not hold."""
    if not isinstance(settings, Mapping):
        raise ConfigError(f"a method's {what} are a mapping, not a {type(settings).__name__}")
    if "method" in settings:
        raise ConfigError(f"a method's {what} cannot name a method")
    found = dict(settings)
    terms = found.get("terms", {})
    if is_dataclass(terms):
        terms = asdict(terms() if isinstance(terms, type) else terms)
    if not isinstance(terms, Mapping):
        raise ConfigError(f"a method's terms are a mapping or a dataclass, not a {type(terms).__name__}")
    for name, value in terms.items():
        if not isinstance(name, str) or not name.isidentifier() or not isinstance(value, _TERM):
            raise ConfigError(
                f"terms.{name} of a method is {value!r}: give a number, true or false, or a word"
            )
    if terms:
        found["terms"] = dict(terms)
    return found

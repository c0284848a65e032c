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
from dataclasses import replace
from pathlib import Path

from sightbook.errors import ConfigError
from sightbook.learn.methods.method import OURS, Method

GROUP = "sightbook.methods"
# The built-in ones: `NAME` in sightbook/learn/methods/NAME.py, imported when it is asked for.
BUILT_IN = ("neighbours", "rcq", "transclippedclr", "spq", "mecoq", "sscq", "dccq")
# Those that were asked for or registered.
FOUND: dict[str, Method] = {}


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
    if name in BUILT_IN:
        raise ConfigError(f"method {name!r} of {method.origin} has the name of a built-in one: rename it")
    if method.loss is None:
        raise ConfigError(f"method {name!r} of {method.origin} has no loss")
    FOUND[name] = method
    return method


def names() -> list[str]:
    """All that can be asked for: built in, registered, installed; nothing is imported for that."""
    return [*BUILT_IN, *sorted({*FOUND, *_find_installed()} - set(BUILT_IN))]


def known() -> list[Method]:
    """The built-in methods and those that this process has asked for or registered."""
    return [find(name) for name in dict.fromkeys([*BUILT_IN, *FOUND])]


def find(name: str) -> Method:
    """The method of this name.

    ConfigError when there is none, when two packages bring it, or when the package that does is broken.
    """
    if name in FOUND:
        return FOUND[name]
    if name in BUILT_IN:
        ours: Method = getattr(importlib.import_module(f"sightbook.learn.methods.{name}"), name)
        FOUND[name] = replace(ours, origin=OURS)
        return FOUND[name]
    points = _find_installed().get(name, [])
    if not points:
        raise ConfigError(_refuse(name))
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
        for name, points in sorted(_find_installed().items())
        for point in points
        if name in BUILT_IN
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
    except (Exception, SystemExit) as error:  # a script may end by itself
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


def _refuse(name: str) -> str:
    near = difflib.get_close_matches(name, names(), 1)
    unknown = f"method {name!r} is unknown: choose one of {', '.join(names())}"
    if name.rpartition(":")[0].endswith(".py"):
        return f"{unknown}; a file is run only where --method itself names it"
    return unknown + (f"; did you mean {near[0]}?" if near else "")


def _find_installed() -> dict[str, list[importlib.metadata.EntryPoint]]:
    """The entry points of the group by name; the same package twice on the path counts once."""
    found: dict[str, dict[tuple[str, str], importlib.metadata.EntryPoint]] = {}
    for point in importlib.metadata.entry_points(group=GROUP):
        found.setdefault(point.name, {}).setdefault((point.value, _owner(point)), point)
    return {name: list(points.values()) for name, points in found.items()}


def _owner(point: importlib.metadata.EntryPoint) -> str:
    return f"package {point.dist.name}" if point.dist is not None else point.value

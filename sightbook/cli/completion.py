"""What a shell is told when it completes the values of options and arguments. Nothing heavy is imported before it asks.

Each function gets what was typed so far and returns what may stand there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

Complete = Callable[[str], list[str]]


def one_of(*values: str) -> Complete:
    """For an option with a few values that are known here."""
    return lambda incomplete: _beginning(values, incomplete)


def method(incomplete: str) -> list[str]:
    """Methods, built in, registered and installed."""
    from sightbook.learn.methods.registry import names

    return _beginning(names(), incomplete)


def preset(incomplete: str) -> list[str]:
    """Sizes and rates that go together."""
    from sightbook.learn.settings.presets import PRESETS

    return _beginning(PRESETS, incomplete)


def protocol(incomplete: str) -> list[str]:
    """Protocols of evaluation."""
    from sightbook.evaluate.protocols import PROTOCOLS

    return _beginning(PROTOCOLS, incomplete)


def baseline(incomplete: str) -> list[str]:
    """Baselines, and all."""
    from sightbook.evaluate.baselines import BASELINES, CHANCE

    return _beginning([*BASELINES, CHANCE, "all"], incomplete)


def definition(incomplete: str) -> list[str]:
    """Definitions of average precision."""
    from sightbook.evaluate.metrics import DEFINITIONS

    return _beginning(DEFINITIONS, incomplete)


def setting(incomplete: str) -> list[str]:
    """Names of settings with =; after it the values, where there are only a few."""
    from sightbook.learn.settings.config import setting_names, setting_values

    name, equals, _ = incomplete.partition("=")
    if equals:
        return _beginning([f"{name}={value}" for value in setting_values(name)], incomplete)
    return _beginning([f"{each}=" for each in setting_names()], incomplete)


def model(incomplete: str) -> list[str]:
    """Models that come with the program, and folders."""
    from sightbook.model.released import names

    return [*_beginning(names(), incomplete), *folders(incomplete)]


def backbone(incomplete: str) -> list[str]:
    """Networks that are known by name, and folders."""
    from sightbook.model.known import AUTOMATIC

    return [*_beginning(["auto", "builtin", "resnet", "vit", *AUTOMATIC], incomplete), *folders(incomplete)]


def folders(incomplete: str) -> list[str]:
    """Folders that the path may become, each with its slash."""
    begun, slash, name = incomplete.rpartition("/")
    place = Path(begun + slash).expanduser()
    try:
        found = sorted(each.name for each in place.iterdir() if each.is_dir() and each.name.startswith(name))
    except OSError:
        return []
    return [f"{begun}{slash}{each}/" for each in found if name or not each.startswith(".")]


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]

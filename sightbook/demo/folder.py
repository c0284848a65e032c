"""The demo's folder: never one that holds something already."""

from __future__ import annotations

import itertools
from pathlib import Path

from sightbook.errors import ConfigError

DEFAULT = "sightbook-demo"


def fresh(out: Path | None) -> Path:
    """`out` when it is new or empty (else ConfigError); without it the first free of sightbook-demo, -2, -3 ..."""
    if out is not None:
        if out.exists() and not _empty(out):
            raise ConfigError(
                f"{out} is not an empty folder: give --out a new one, the demo overwrites nothing"
            )
        return out
    for number in itertools.count(1):
        folder = Path(DEFAULT if number == 1 else f"{DEFAULT}-{number}")
        if not folder.exists() or _empty(folder):
            return folder
    raise AssertionError("counting never ends")


def _empty(path: Path) -> bool:
    return path.is_dir() and next(path.iterdir(), None) is None

"""Things that sightbook made itself, which are no pictures of anybody's collection: MODEL and LIBRARY folders, sheets
and plots."""

# Plain strings, as in the walk that asks.
# ruff: noqa: PTH113, PTH118, PTH119, PTH123

from __future__ import annotations

import json
import os
from collections.abc import Collection
from typing import BinaryIO, Literal

from sightbook.errors import ConfigError
from sightbook.files import MARK

DRAWN = "it is a sheet or plot that sightbook drew"

# Files by which a folder may be ours; a walk notes them as it passes.
MARKS = frozenset(
    ("config.json", "codebooks.safetensors", "library.json", "catalogue.sqlite", "config.yaml", "log.jsonl")
)
_LOOKED_AT = 4096


def folder_of_ours(folder: str, marks: Collection[str]) -> Literal["MODEL", "LIBRARY"] | None:
    """Which of our folders this is, if any; marks: those of MARKS that lie in it."""
    if {"library.json", "catalogue.sqlite"} <= set(marks):
        return "LIBRARY" if _says(folder, "library.json", "fingerprint") else None
    if {"config.json", "codebooks.safetensors"} <= set(marks):
        return "MODEL" if _says(folder, "config.json", "fingerprint") else None
    # A MODEL that is still being learned has nothing yet but its folder `train`.
    if {"config.yaml", "log.jsonl"} <= set(marks) and os.path.basename(folder) == "train":
        return "MODEL"
    return None


def is_ours(folder: str) -> Literal["MODEL", "LIBRARY"] | None:
    """The same of a folder that no walk passes."""
    return folder_of_ours(folder, [name for name in MARKS if os.path.isfile(os.path.join(folder, name))])


def is_drawn(data: bytes) -> bool:
    """Whether a picture file is a sheet or plot of ours, by the mark in its head or tail."""
    mark = MARK.encode()
    return mark in data[:_LOOKED_AT] or mark in data[-_LOOKED_AT:]


def refuse_foreign(path: str | os.PathLike[str]) -> None:
    """ConfigError when a sheet or plot written to `path` would take the place of something that is none of ours."""
    try:
        with open(path, "rb") as file:
            ours = _may_be_replaced(file)
    except FileNotFoundError:
        return
    except OSError:  # a folder, a file that we may not look at
        ours = False
    if not ours:
        raise ConfigError(
            f"{os.fspath(path)} is there already, and no sheet or plot that sightbook drew: it is left as it is, give "
            "another name"
        )


def _may_be_replaced(file: BinaryIO) -> bool:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(_LOOKED_AT)
    file.seek(max(0, size - _LOOKED_AT))
    return size == 0 or is_drawn(head) or is_drawn(file.read())


def _says(folder: str, name: str, key: str) -> bool:
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            content = json.load(file)
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and key in content and "M" in content

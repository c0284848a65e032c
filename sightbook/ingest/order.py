"""What an `add` is asked to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sightbook.arguments import flag

# Whether pictures that are gone from a source are forgotten; "all": even when nothing of the source is left.
Prune = bool | Literal["all"]


@dataclass(frozen=True, slots=True)
class Order:
    """As the arguments of `Library.add`, which says what they mean."""

    sources: Sequence[str | Path]
    moved_from: str | Path | None = None
    retry: bool = False
    exclude: Sequence[str] = ()
    forget_excludes: bool = False
    prune: Prune = False


def prune_like(value: Any, name: str) -> Any:
    """What `Prune` says. ConfigError for anything else."""
    return value if isinstance(value, str) and value == "all" else flag(value, name)

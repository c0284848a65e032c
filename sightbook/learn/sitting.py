"""One sitting of learning: from which pictures, into which folder, and by which means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sightbook.learn.store import Keys
from sightbook.progress import Listener


@dataclass(frozen=True)
class Sitting:
    """only: the keys of the pictures of `sources` that are meant, None: all; judge: whether codes are held against
    simpler things, too; version: of the program, for the model."""

    sources: Sequence[str]
    folder: Path
    version: str
    jobs: int | None
    only: Keys | None
    judge: bool
    listener: Listener

    @property
    def work(self) -> Path:
        """Where learning keeps what the model does not need."""
        return self.folder / "train"

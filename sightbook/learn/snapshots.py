"""Models on the way: MODEL folders at even parts of the budget, to watch training by or to choose the best one from.

They lie in MODEL/train/snapshots, named by the thousandths of the budget that were spent. Choosing is label-free: by
the loss on views of held-out pictures.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from sightbook.errors import ModelError
from sightbook.learn.verdict import ViewFigures

NAME = "snapshots"


@dataclass(frozen=True)
class Snapshot:
    """A model on the way: its folder, the step it is of, and its figures on held-out pictures (label-free)."""

    folder: Path
    step: int
    figures: ViewFigures

    def weights(self) -> dict[str, torch.Tensor]:
        """The network's tensors by name."""
        from safetensors.torch import load_file

        tensors: dict[str, torch.Tensor] = load_file(self.folder / "model.safetensors")
        return tensors


class Series:
    """Makes the snapshots of a run when their parts of the budget are reached.

    write(folder) makes a MODEL folder of the run's state. Those that are due already when the series begins were made
    by an earlier sitting.
    """

    def __init__(self, work: Path, count: int, spent: float, write: Callable[[Path], object]) -> None:
        self._work = work
        self._write = write
        self._due = [part for part in (k / (count + 1) for k in range(1, count + 1)) if part > spent]

    def reached(self, spent: float) -> bool:
        """Whether a snapshot is due at this part of the budget."""
        return bool(self._due) and spent >= self._due[0] and spent < 1.0

    def make(self, spent: float) -> None:
        """Writes the snapshot that is due; of several that were passed at once, the last."""
        part = [due for due in self._due if due <= spent][-1]
        self._due = [due for due in self._due if due > spent]
        folder = self._work / NAME / f"{round(1000 * part):04d}"
        shutil.rmtree(folder, ignore_errors=True)  # of a sitting that was killed after its last checkpoint
        folder.mkdir(parents=True)
        self._write(folder)


def found(work: Path) -> list[Snapshot]:
    """The finished snapshots below `work`, in order of their steps."""
    snapshots = []
    for path in sorted((work / NAME).glob("*/config.json")):
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            figures = ViewFigures(**facts["verdict"]["trained"])
            snapshots.append(Snapshot(path.parent, facts["trained"]["steps"], figures))
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ModelError(
                f"the snapshot {path.parent} cannot be read ({error}): delete that folder"
            ) from None
    return snapshots

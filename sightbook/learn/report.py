"""What `sightbook.train` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class TrainReport:
    """What training did. `verdict` holds the label-free figures, `sentence` says them in words."""

    folder: Path
    bits: int
    pictures: int
    failed: int
    steps: int
    seconds: float
    device: str
    precision: str
    fingerprint: str
    verdict: Mapping[str, Any]
    sentence: str

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "folder": str(self.folder)}

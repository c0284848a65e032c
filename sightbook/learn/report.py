"""What `sightbook.train` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sightbook.images.left_out import Group


@dataclass(frozen=True)
class TrainReport:
    """What training did. `verdict` holds the label-free figures, `sentence` says them in words, `left_out` what the
    sources hold and was not learned from (nothing where a finished run was only opened again)."""

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
    left_out: list[Group] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "folder": str(self.folder)}

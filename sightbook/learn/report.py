"""What `sightbook.train` returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sightbook.images.left_out import Group
from sightbook.model.config import ModelConfig


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

    @classmethod
    def of(
        cls, folder: Path, model: ModelConfig, sentence: str, left_out: Sequence[Group] = ()
    ) -> TrainReport:
        """Of the MODEL folder that learning wrote."""
        trained = model.trained
        return cls(
            folder=folder,
            bits=model.bits,
            pictures=trained["pictures"],
            failed=trained.get("failed", 0),
            steps=trained.get("steps", 0),
            seconds=trained["seconds"],
            device=trained.get("device", "cpu"),
            precision=trained.get("precision", "fp32"),
            fingerprint=model.fingerprint,
            verdict=model.verdict,
            sentence=sentence,
            left_out=list(left_out),
        )

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "folder": str(self.folder)}

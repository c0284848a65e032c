"""What a run of learning is asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sightbook.learn.resolved import overlay
from sightbook.learn.store import Keys


@dataclass(frozen=True)
class Asked:
    """As the arguments of `train`, which says what they mean."""

    bits: int | None
    nested: bool
    method: str | None
    backbone: str | None
    train_part: str | None
    preset: str | None
    epochs: int | None
    minutes: float | None
    device: str
    config: str | os.PathLike[str] | None
    settings: Mapping[str, Any] | None
    seed: int | None
    resume: bool
    only: Keys | None

    def overlay(self, method: str | None) -> dict[str, Any]:
        """The settings as one mapping; method: its name, without the file that it may be in."""
        return overlay(
            self.config,
            self.settings,
            epochs=self.epochs,
            minutes=self.minutes,
            method=method,
            bits=self.bits,
            seed=self.seed,
            backbone=None if self.train_part is None else {"train": self.train_part},
        )

    def of_steps(self, jobs: int | None) -> dict[str, bool]:
        """By option, whether that was asked for which learning from vectors does not take."""
        return {
            "--backbone": self.backbone is not None, "--train": self.train_part is not None,
            "--preset": self.preset is not None, "--nested": self.nested, "--epochs": self.epochs is not None,
            "--minutes": self.minutes is not None, "--device": self.device not in ("auto", "cpu"),
            "--config": self.config is not None, "--set": bool(self.settings), "--seed": self.seed is not None,
            "--resume": self.resume, "--jobs": jobs is not None, "only": self.only is not None,
        }  # fmt: skip

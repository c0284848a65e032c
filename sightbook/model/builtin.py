"""The network that comes with the program: an encoder that gives features, opened by onnxruntime, no torch.

`sightbook/builtin/NAME` holds encoder.onnx, what it sees (network.json) and its licence; benchmarks/tools/builtin.py
makes the folder, and docs/backbones.md tells where the weights are from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightbook.images.pixels.frame import Frame

BUILTIN = "builtin"  # in the words of --backbone
STRIDE = 32  # sizes it takes are multiples of this
_FOLDER = Path(__file__).parent.parent / BUILTIN / "efficientnet_lite0"


@dataclass(frozen=True)
class Builtin:
    """encoder: the graph, pixels (N, S, S, 3) uint8 → features (N, features) float32, S any multiple of 32; frame: what
    it sees of a picture; mean and std: its scaling of pixels, inside the graph; transformers: its architecture, for a
    torch module (`torchform`)."""

    name: str
    encoder: Path
    features: int
    frame: Frame
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    transformers: Mapping[str, Any]
    pretraining: str
    licence: str


def read() -> Builtin:
    """What is known of the network."""
    facts = json.loads((_FOLDER / "network.json").read_text(encoding="utf-8"))
    scaling = {name: tuple(facts[name]) for name in ("mean", "std")}
    return Builtin(**{**facts, **scaling, "frame": Frame(**facts["frame"])}, encoder=_FOLDER / "encoder.onnx")

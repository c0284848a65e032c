"""A network that is not trained, as learning in closed form sees it: how it is written down, and how it runs."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightbook.images.pixels.frame import Frame
from sightbook.learn.fixed import Forward
from sightbook.model import builtin
from sightbook.model.graph import Graph


@dataclass(frozen=True)
class FrozenNetwork:
    """digest: of its weights and scaling; write: puts encoder.onnx at a path, and returns by how much its features
    differ from the original's; forward: pixels → features, by that graph or on `device`; spec and facts: what
    config.json says of it."""

    name: str
    licence: str
    pretraining: str
    told: str  # the same for people, who should know where it is a guess
    features: int
    frame: Frame
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    digest: str
    write: Callable[[Path], float]
    forward: Callable[[Path], Forward]
    spec: Mapping[str, Any]
    facts: Mapping[str, Any]
    device: str = "cpu"


def as_shipped(size: int, pool: str, device: str) -> bool:
    """Whether the settings take the built-in network as its graph is: on a CPU, a size that fits, its own pooling;
    anything else needs its torch form (`pretrained`)."""
    return device in ("auto", "cpu") and size % builtin.STRIDE == 0 and pool == "auto"


def frozen_builtin(size: int, resize: int) -> FrozenNetwork:
    """The network that comes with the program, for pictures whose shorter side is brought to `resize` pixels first, and
    of which it sees the middle `size` × `size`."""
    known = builtin.read()

    def write(path: Path) -> float:
        shutil.copyfile(known.encoder, path)
        return 0.0

    return FrozenNetwork(
        name=f"the built-in network ({known.name})",
        licence=known.licence,
        pretraining=known.pretraining,
        told=known.pretraining,
        features=known.features,
        frame=Frame(size, resize, known.frame.resample),
        mean=known.mean,
        std=known.std,
        digest=hashlib.blake2b(known.encoder.read_bytes(), digest_size=16).hexdigest(),
        write=write,
        forward=by_graph,
        spec={"kind": builtin.BUILTIN, "name": known.name, "licence": known.licence},
        facts={},
    )


def by_graph(path: Path) -> Forward:
    """Pixels (N, S, S, 3) uint8 → features (N, F) float32 by onnxruntime, on all cores."""
    graph = Graph(path)
    return lambda pixels: graph.run(["features"], pixels)[0]

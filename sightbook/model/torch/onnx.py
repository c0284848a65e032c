"""Export to encoder.onnx, one file with a dynamic batch, checked against torch on the spot."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sightbook.errors import ModelError
from sightbook.files import replace_atomic
from sightbook.model.graph import open_session
from sightbook.model.torch.network import Exported, PixelBackbone, PixelEncoder

TOLERANCE = 1e-3  # invariant 3 of the design: embeddings of onnxruntime and torch agree this closely


def export(encoder: PixelEncoder, path: Path, size: int, sample: np.ndarray | None = None) -> float:
    """Writes `path` and returns the largest difference of an embedding between onnxruntime and torch.

    `sample` (N, size, size, 3) uint8: pictures to compare on (random pixels when None). Raises ModelError when the
    two disagree by more than TOLERANCE.
    """
    encoder = encoder.eval()
    return _export(Exported(encoder), encoder, ["x", "features"], path, size=size, sample=sample)


def export_backbone(backbone: PixelBackbone, path: Path, size: int) -> float:
    """The same for a frozen backbone alone: the graph gives features, and no x."""
    backbone = backbone.eval()
    return _export(backbone, backbone, ["features"], path, size=size, sample=None)


def _export(
    module: torch.nn.Module,
    checked: torch.nn.Module,
    outputs: list[str],
    path: Path,
    *,
    size: int,
    sample: np.ndarray | None,
) -> float:
    """Writes the module's graph; `checked` computes in torch what the first of the outputs should be."""
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    with replace_atomic(path) as temporary:
        with _quiet():
            program = torch.onnx.export(
                module.eval(),
                (example,),
                input_names=["pixels"],
                output_names=outputs,
                dynamic_shapes=({0: torch.export.Dim("N", min=1)},),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
            assert program is not None
            temporary.write_bytes(bare(program.model_proto).SerializeToString(deterministic=True))
        if sample is None:
            sample = np.random.default_rng(0).integers(0, 256, (5, size, size, 3)).astype(np.uint8)
        ours = open_session(temporary).run(outputs[:1], {"pixels": np.ascontiguousarray(sample)})[0]
        with torch.inference_mode():
            theirs = checked(torch.from_numpy(np.ascontiguousarray(sample))).numpy()
        difference = float(np.abs(ours - theirs).max() / max(1.0, float(np.abs(theirs).max())))
        if not difference <= TOLERANCE:
            raise ModelError(
                f"{path}: onnxruntime and torch differ by {difference:.1e}, more than {TOLERANCE}: please report it"
            )
    return difference


def bare(model: Any) -> Any:
    """An onnx.ModelProto without what the exporter tells of itself: where the program lies on its maker's disk is
    nobody's business, and would give the same encoder other bytes elsewhere."""
    graph = model.graph
    for part in (
        model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer,
        *(each for function in model.functions for each in (function, *function.node, *function.value_info)),
    ):  # fmt: skip
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter talks at length on both streams and through logging; none of it concerns a user."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)

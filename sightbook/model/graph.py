"""encoder.onnx, run by onnxruntime on the CPU."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightbook.cores import cores
from sightbook.errors import ModelError

# Pixels in one call of an encoder: four pictures of 224 x 224, an eighth faster than 64 of them (docs/log.md).
_AT_ONCE = 4 * 224 * 224


class Graph:
    """An encoder, loaded at its first use. Safe to share between threads."""

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self.path, self.threads = path, threads
        self._session: Any = None
        self._lock = threading.Lock()

    @property
    def is_loaded(self) -> bool:
        """Whether it was used."""
        return self._session is not None

    def run(self, outputs: list[str], pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """The outputs for pixels (N, S, S, 3) uint8. ModelError when it cannot be loaded."""
        with self._lock:
            if self._session is None:
                self._session = open_session(self.path, self.threads)
        return run(self._session, outputs, pixels)


def runtime() -> Any:
    """onnxruntime, imported here and nowhere else: its newer builds tell their maker by the network how they are
    used and keep a number of the machine in its user's home, unless this is set before their import. A will of the
    user's own wins."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def open_session(path: Path, threads: int | None = None) -> Any:
    """An onnxruntime session on the CPU. Its threads sleep while idle: decoding shares the cores."""
    onnxruntime = runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(_loadable(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a family of its own exceptions without a common base
        raise ModelError(f"{path} cannot be loaded ({error}): copy it again or train again") from None


def run(session: Any, outputs: list[str], pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """The outputs of an encoder for pixels (N, S, S, 3) uint8, of a few pictures at a time: what a layer hands to the
    next then stays in the cache."""
    step = max(1, _AT_ONCE // (pixels.shape[1] * pixels.shape[2]))
    blocks = [
        session.run(outputs, {"pixels": np.ascontiguousarray(pixels[start : start + step])})
        for start in range(0, max(1, len(pixels)), step)
    ]
    return blocks[0] if len(blocks) == 1 else [np.concatenate(made) for made in zip(*blocks, strict=True)]


def _loadable(path: Path) -> str | bytes:
    """The path, or the content where the path is not UTF-8, which onnxruntime does not take."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return path.read_bytes()
    return str(path)

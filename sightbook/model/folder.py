"""Writing a MODEL folder: weights, codebooks, encoder, config. config.json comes last: without it there is no model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightbook.describe.description import Description
from sightbook.errors import ModelError
from sightbook.files import write_atomic
from sightbook.model.config import ModelConfig

DESCRIPTION = "description.safetensors"


# The weights for further training are not among these files, so a library's copy checks out.
def query_files(config: ModelConfig) -> tuple[str, ...]:
    """The files that encoding a query needs, config.json apart."""
    encoder = () if config.frame is None else ("encoder.onnx",)
    return (*encoder, *((DESCRIPTION,) if config.described else ()), "codebooks.safetensors")


def check_files(folder: Path, config: ModelConfig) -> None:
    """ModelError when a file is not, byte for byte, what was written: opening a model looks at sizes alone."""
    for name, facts in config.files.items():
        try:
            content = (folder / name).read_bytes()
        except OSError as error:
            raise ModelError(
                f"{folder / name} cannot be read ({error.strerror}): copy the model here again"
            ) from None
        if _digest(content) != facts["blake2b"]:
            raise ModelError(f"{folder / name} is not what it was: copy the model here again")


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def write_description(folder: Path, description: Description) -> None:
    """Writes the map from features to embeddings to description.safetensors."""
    from safetensors.numpy import save

    write_atomic(folder / DESCRIPTION, save(description.tensors()))


def write_codebooks(folder: Path, codebooks: NDArray[np.float32]) -> None:
    """Writes codebooks (M, K, d) float32, unit codewords, to codebooks.safetensors."""
    from safetensors.numpy import save

    content = save({"codebooks": np.ascontiguousarray(codebooks, dtype=np.float32)})
    write_atomic(folder / "codebooks.safetensors", content)


def write_config(
    folder: Path, config: ModelConfig, version: str, before: Callable[[ModelConfig], None] | None = None
) -> ModelConfig:
    """Completes the config by file digests and the fingerprint, writes config.json and returns it.

    `before` is called with the completed config just before config.json makes the folder a model.
    """
    files: dict[str, Mapping[str, Any]] = {}
    for name in query_files(config):
        content = (folder / name).read_bytes()
        files[name] = {"bytes": len(content), "blake2b": _digest(content)}
    decisive = {
        "files": {name: facts["blake2b"] for name, facts in files.items()},
        "frame": None if config.frame is None else asdict(config.frame),
        "M": config.M,
        "K": config.K,
        "D": config.D,
        "metric": config.metric,
    }
    if config.shared:
        decisive["shared"] = True
    if config.fine is not None:
        decisive["fine"] = dict(config.fine)
    fingerprint = hashlib.blake2b(json.dumps(decisive, sort_keys=True).encode(), digest_size=16).hexdigest()
    config = replace(config, files=files, fingerprint=fingerprint, sightbook=version)
    if before is not None:
        before(config)
    write_atomic(folder / "config.json", config.to_json())
    return config

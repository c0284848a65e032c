"""The files of a MODEL folder, written and read. config.json is written last: without it there is no model."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sightbook.describe.description import Description
from sightbook.errors import ModelError
from sightbook.files import write_atomic
from sightbook.model.config import ModelConfig

DESCRIPTION = "description.safetensors"

Made = TypeVar("Made")


# The weights for further training are not among these files, so a library's copy checks out.
def query_files(config: ModelConfig) -> tuple[str, ...]:
    """The files that encoding a query needs, config.json apart."""
    encoder = () if config.frame is None else ("encoder.onnx",)
    return (*encoder, *((DESCRIPTION,) if config.described else ()), "codebooks.safetensors")


def copy_files(config: ModelConfig, source: Path, target: Path) -> None:
    """Copies what a query needs; config.json last: a folder without it is not taken for a model."""
    target.mkdir(parents=True, exist_ok=True)
    for name in (*query_files(config), "config.json"):
        shutil.copyfile(source / name, target / name)


def check_contents(folder: Path, config: ModelConfig) -> None:
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


def check_sizes(folder: Path, config: ModelConfig) -> None:
    """ModelError when a file that a query needs is missing, or of another size than when it was written."""
    for name, facts in config.files.items():
        try:
            size = (folder / name).stat().st_size
        except OSError:
            raise ModelError(
                f"{folder / name} is missing: copy the whole model folder, or train again"
            ) from None
        if size != facts["bytes"]:
            raise ModelError(
                f"{folder / name} is damaged ({size} bytes, {facts['bytes']} expected): copy it again or train again"
            )


def read_description(folder: Path) -> Description:
    """The map from features to embeddings. ModelError when it cannot be read."""
    return _read(folder / DESCRIPTION, Description.of)


def read_codebooks(folder: Path, config: ModelConfig) -> NDArray[np.float32]:
    """Codebooks (M, K, d) float32. ModelError when they cannot be read, or are not those of the config."""
    found = _read(folder / "codebooks.safetensors", lambda tensors: tensors["codebooks"])
    if found.shape != (config.M, config.K, config.d):
        raise ModelError(
            f"{folder} is damaged: its codebooks have shape {found.shape}, config.json says otherwise"
        )
    return np.ascontiguousarray(found, dtype=np.float32)


def _read(path: Path, make: Callable[[dict[str, Any]], Made]) -> Made:
    """What is made of a file's tensors."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return make(load_file(path))
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ModelError(
            f"{path} cannot be read ({error}): copy the whole model folder, or train again"
        ) from None

"""Small pictures for the tests of this room, as files in memory, and the three kinds of source made of them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def gradient(width: int = 40, height: int = 30, seed: int = 0) -> np.ndarray:
    """(height, width, 3) uint8: smooth, without symmetry, so that turned or mirrored it is another picture."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = 255 * x / max(1, width - 1), 255 * y / max(1, height - 1)
    blue = np.full((height, width), (seed * 37) % 256)
    return np.stack([red, green, blue], -1).astype(np.uint8)


def encoded(pixels: np.ndarray | Image.Image, format: str = "PNG", **options: Any) -> bytes:
    """The file's bytes."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def with_orientation(pixels: np.ndarray, orientation: int, format: str, **options: Any) -> bytes:
    """A file whose EXIF says `orientation`."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(pixels, format, exif=exif, **options)


def write_folder(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def write_tar(path: Path, files: Mapping[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1_600_000_000
            archive.addfile(info, io.BytesIO(data))
    return path


def write_parquet(
    path: Path,
    pictures: list[bytes | None],
    labels: list[Any] | None = None,
    *,
    column: str = "image",
    names: list[str] | None = None,
    plain: bool = False,
    **options: Any,
) -> Path:
    binary = pa.array(pictures, pa.binary())
    files = pa.array([None] * len(pictures), pa.string())
    columns = {column: binary if plain else pa.StructArray.from_arrays([binary, files], ["bytes", "path"])}
    if labels is not None:
        columns["label"] = pa.array(labels)
    table = pa.table(columns)
    if names is not None:
        import json

        features = {"label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path, **options)
    return path

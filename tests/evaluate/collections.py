"""Small labelled collections in the layouts that evaluation reads."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from PIL import Image

from tests.pictures import KINDS, picture

Drawn = tuple[bytes, int]


def draw(count: int, *, seed: int = 0, side: int = 16) -> list[Drawn]:
    """`count` pictures as PNG bytes, with the numbers of their kinds in turn; no two are equal."""
    random = np.random.default_rng(seed)
    drawn = []
    for number in range(count):
        file = io.BytesIO()
        Image.fromarray(picture(KINDS[number % len(KINDS)], random, side)).save(file, "PNG")
        drawn.append((file.getvalue(), number % len(KINDS)))
    return drawn


def write_parquet(
    path: Path, pictures: Iterable[tuple[bytes, Any]], names: Sequence[str] | None = KINDS
) -> Path:
    """The Hugging Face image layout, with label names unless None."""
    rows = list(pictures)
    table = pa.table(
        {
            "image": pa.array([{"bytes": data, "path": None} for data, _ in rows]),
            "label": pa.array([label for _, label in rows]),
        }
    )
    if names is not None:
        features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": list(names)}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pyarrow.parquet.write_table(table, path)
    return path


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path

"""Finding the train and test parts of a collection that was published in parts.

Looked for in a folder and in its `data` folder (as Hugging Face repositories have it): train/ and test/, or
train.parquet and test.parquet, or shards such as train-00000-of-00002.parquet; other archives alike, and those in
the only folder that has both, too. A single train file is joined by the test file beside it. CIFAR-10's binary version
is found by the names of its batches.
"""

from __future__ import annotations

import glob
from pathlib import Path

from sightbook.images.kinds.registry import suffixes

PART_NAMES = ("train", "test")


def find_parts(data: Path) -> tuple[str, str] | None:
    """Sources (train, test), or None when the collection is one part."""
    if data.is_file():
        if data.stem != "train" or data.suffix not in suffixes(vectors=False):
            return None
        test = data.with_stem("test")
        return (str(data), str(test)) if test.is_file() else None
    for base in (data, data / "cifar-10-batches-bin"):
        if (base / "data_batch_1.bin").is_file() and (base / "test_batch.bin").is_file():
            return f"{glob.escape(str(base))}/data_batch_*.bin", str(base / "test_batch.bin")
    for base in (data, data / "data", *_folders(data)):
        train, test_part = (_part(base, name) for name in PART_NAMES)
        if train is not None and test_part is not None:
            return train, test_part
    return None


def _folders(data: Path) -> list[Path]:
    """The folder of archives in a collection, where the hub keeps one for each configuration; none where more than one
    could be meant."""
    if not data.is_dir():
        return []
    inside = [path for path in sorted(data.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    both = [
        path
        for path in inside
        if all(not (path / name).is_dir() and _part(path, name) is not None for name in PART_NAMES)
    ]
    return both if len(both) == 1 else []


def _part(base: Path, name: str) -> str | None:
    if (base / name).is_dir():
        return str(base / name)
    for suffix in sorted(suffixes(vectors=False)):
        if (base / f"{name}{suffix}").is_file():
            return str(base / f"{name}{suffix}")
        if any(base.glob(f"{name}-*{suffix}")):
            return f"{glob.escape(str(base))}/{name}-*{suffix}"
    return None

"""Finding the parts of a collection that was published in parts: train, which is searched, and test, which asks, or
val, valid or validation where there is no test.

Looked for in a folder and in its `data` folder (as Hugging Face repositories have it): train/ and test/, or
train.parquet and test.parquet, or shards such as train-00000-of-00002.parquet; other archives alike, and those in
the only folder that has both, too. A single train file is joined by the test file beside it. CIFAR-10's binary version
is found by the names of its batches.
"""

from __future__ import annotations

import glob
import os
from pathlib import Path

from sightbook.images.kinds.registry import suffixes
from sightbook.images.names import existing

TRAIN, TEST = "train", "test"
_ASKING = (TEST, "val", "valid", "validation")  # the first that is there


def place(path: str | os.PathLike[str]) -> Path:
    """Where a path that a user wrote leads, as sources understand it: ~ is the home, and what is there may have its
    name in another Unicode normalization."""
    text = os.path.expanduser(os.fspath(path))  # noqa: PTH111  Path's own raises where there is no such user
    return Path(existing(text) or text)


def find_parts(data: Path) -> dict[str, str] | None:
    """The sources of the two parts by their names, train first; None when the collection is one part."""
    if data.is_file():
        if data.stem != TRAIN or data.suffix not in suffixes(vectors=False):
            return None
        beside = ((name, data.with_stem(name)) for name in _ASKING)
        return next(({TRAIN: str(data), name: str(path)} for name, path in beside if path.is_file()), None)
    for base in (data, data / "cifar-10-batches-bin"):
        if (base / "data_batch_1.bin").is_file() and (base / "test_batch.bin").is_file():
            return {TRAIN: f"{glob.escape(str(base))}/data_batch_*.bin", TEST: str(base / "test_batch.bin")}
    return _both(data) or _both(data / "data") or _in_a_folder(data)


def _in_a_folder(data: Path) -> dict[str, str] | None:
    """The archives in a folder of a collection, where the hub keeps one for each configuration; None where more than
    one could be meant."""
    if not data.is_dir():
        return None
    inside = [path for path in sorted(data.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    both = [
        found
        for path in inside
        if (found := _both(path)) is not None and not any(Path(source).is_dir() for source in found.values())
    ]
    return both[0] if len(both) == 1 else None


def _both(base: Path) -> dict[str, str] | None:
    """The parts in a folder."""
    train = _part(base, TRAIN)
    asking = ((name, _part(base, name)) for name in _ASKING)
    found = next(((name, part) for name, part in asking if part is not None), None)
    return None if train is None or found is None else dict([(TRAIN, train), found])


def _part(base: Path, name: str) -> str | None:
    if (base / name).is_dir():
        return str(base / name)
    for suffix in sorted(suffixes(vectors=False)):
        if (base / f"{name}{suffix}").is_file():
            return str(base / f"{name}{suffix}")
        if any(base.glob(f"{name}-*{suffix}")):
            return f"{glob.escape(str(base))}/{name}-*{suffix}"
    return None

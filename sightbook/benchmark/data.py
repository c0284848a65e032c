"""What the figures of an experiment are of: a digest of its pictures, their names and labels, and of local weights.

A plan names its data by a path, and what lies there may become another collection, or get other labels. So each result
keeps these digests, and is taken for finished only while they are the same. Where the data lie does not count.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import Any

from sightbook.benchmark.cell import Cell
from sightbook.errors import PictureError
from sightbook.evaluate.split import LabelledPicture, Split
from sightbook.files import write_atomic
from sightbook.images.vectors import read_many, stored
from sightbook.progress import Listener, Meter

_AT_ONCE = 1024
_WEIGHTS = (".json", ".safetensors", ".bin")
_SIZE = 12  # bytes of a digest


def digest_of(split: Split, junk: str | None, kept: Path, listener: Listener) -> str:
    """Hex digest of the contents, names, labels and junk columns of queries, database and what may be learned from.

    kept: a file that remembers the digest with sizes and times of all files, so that their contents are read once.
    """
    parts = [split.queries, split.database, split.training]
    stamp = blake2b(digest_size=_SIZE)
    for part in parts:
        for each in [] if part is None else sorted(part, key=_named):
            origin, entry = each.entry.origin, each.entry
            place = None if origin is None else (origin.root, origin.size, origin.mtime_ns)
            stamp.update(
                repr((*_said(each, junk), entry.size, entry.mtime_ns, place)).encode("utf-8", "surrogatepass")
            )
        stamp.update(b"next")
    before = _remembered(kept)
    if before.get("stamp") == stamp.hexdigest():
        return str(before["digest"])
    contents = _contents([*split.queries, *split.database], listener)
    found = blake2b(digest_size=_SIZE)
    for part in parts:
        rows = (
            [] if part is None else [(*_said(each, junk), contents.get(each.entry.key, "")) for each in part]
        )
        found.update(json.dumps(None if part is None else sorted(rows)).encode())
    write_atomic(kept, json.dumps({"stamp": stamp.hexdigest(), "digest": found.hexdigest()}) + "\n")
    return found.hexdigest()


def weights_of(cell: Cell) -> str | None:
    """Hex digest of the files of a backbone that is a local folder; None for any other: its name says which it is."""
    section = cell.settings.get("backbone")
    name = cell.backbone or (section.get("name") if isinstance(section, Mapping) else None)
    if not name or not Path(name).is_dir():
        return None
    found = blake2b(digest_size=_SIZE)
    for path in sorted(Path(name).iterdir()):
        if path.suffix in _WEIGHTS and path.is_file():
            found.update(path.name.encode("utf-8", "surrogatepass"))
            with path.open("rb") as file:
                while block := file.read(1 << 24):
                    found.update(block)
    return found.hexdigest()


def _named(picture: LabelledPicture) -> str:
    return picture.entry.path


def _said(picture: LabelledPicture, junk: str | None) -> tuple[str, tuple[str, ...], str]:
    return picture.entry.path, picture.labels, "" if junk is None else picture.metadata.get(junk, "")


def _contents(pictures: Sequence[LabelledPicture], listener: Listener) -> dict[tuple[str, str], str]:
    """Key → digest of the content; what cannot be read has none."""
    found: dict[tuple[str, str], str] = {}
    meter = Meter(listener, "look at the data", len(pictures))
    for vectors, some in groupby(pictures, key=_is_vector):
        for key, data in _vectors(list(some)) if vectors else _files(some):
            found[key] = "" if data is None else blake2b(data, digest_size=16).hexdigest()
            meter.advance()
    meter.close()
    return found


def _is_vector(picture: LabelledPicture) -> bool:
    return picture.entry.is_vector


def _files(pictures: Iterator[LabelledPicture]) -> Iterator[tuple[tuple[str, str], bytes | None]]:
    for each in pictures:
        try:
            yield each.entry.key, each.entry.read()
        except PictureError:
            yield each.entry.key, None


def _vectors(pictures: Sequence[LabelledPicture]) -> Iterator[tuple[tuple[str, str], bytes | None]]:
    for some, rows in read_many([each.entry for each in pictures], _AT_ONCE):
        for entry, row in zip(some, rows, strict=True):
            yield entry.key, None if isinstance(row, str) else stored(row)


def _remembered(kept: Path) -> dict[str, Any]:
    try:
        content = json.loads(kept.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) and {"stamp", "digest"} <= content.keys() else {}

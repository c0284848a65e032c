"""Small pictures with content of their own, and what a library must hold of a folder of them."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

from sightbook.errors import PictureError
from sightbook.images.load.pool import digest
from sightbook.model.model import Model


def picture(seed: int, side: int = 20) -> bytes:
    """A PNG of random pixels; seeds give different ones."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def write(path: Path, data: bytes, time: int = 1_700_000_000) -> Path:
    """Writes a file with a modification time in seconds, so that no test depends on the clock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, ns=(time * 10**9, time * 10**9))
    return path


def fill(folder: Path, count: int, *, side: int = 20, first: int = 0) -> Path:
    """`count` pictures 000.png, 001.png … of seeds from `first`."""
    for n in range(count):
        write(folder / f"{n:03}.png", picture(first + n, side))
    return folder


def content(folder: Path, model: Model, pattern: str = "*.png") -> dict[str, tuple[bytes, bytes]]:
    """Digest and packed code by relative path, each picture on its own: what any history of `add` must end in."""
    found = {}
    for path in sorted(folder.rglob(pattern)):
        data = path.read_bytes()
        try:
            pixels = model.prepare(data)
        except PictureError:
            continue
        code = model.pack(model.encode(pixels[None]))[0].tobytes()
        found[path.relative_to(folder).as_posix()] = (digest(data), code)
    return found

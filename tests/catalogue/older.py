"""Libraries as older programs left them, made from the catalogues in formats/."""

from __future__ import annotations

import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image

from sightbook.catalogue.catalogue import NAME
from sightbook.model.model import Model
from tests.library.pictures import write

FORMATS = sorted(file.stem for file in (Path(__file__).parent / "formats").glob("*.sql"))
FINE = [name for name in FORMATS if "fine" in name]
PLAIN = [name for name in FORMATS if "fine" not in name]


def bitmap(seed: int) -> bytes:
    """A picture whose bytes are the same whatever zlib is installed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 20, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "BMP")
    return buffer.getvalue()


def photos(folder: Path) -> Path:
    """The source of every fixture: 002.bmp is missing."""
    for n in (0, 1, 3):
        write(folder / f"{n:03}.bmp", bitmap(n))
    write(folder / "broken.png", b"\x89PNG no picture")
    return folder


def catalogue(
    name: str, path: Path, *, photos: str = "/photos", fingerprint: str = "f", other: str = "o"
) -> str:
    """Writes a fixture's catalogue and returns the text of its library.json."""
    text = (Path(__file__).parent / "formats" / f"{name}.sql").read_text(encoding="utf-8")
    for placeholder, value in (("{photos}", photos), ("{fingerprint}", fingerprint), ("{other}", other)):
        text = text.replace(placeholder, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.executescript(text)
    return text.partition("\n")[0].removeprefix("-- library.json: ")


def library(name: str, place: Path, source: Path, model: Model, other: Model | None = None) -> Path:
    """The whole library of a fixture, with its pictures at `source`."""
    photos(source)
    said = catalogue(
        name,
        place / NAME,
        photos=str(source),
        fingerprint=model.fingerprint,
        other="" if other is None else other.fingerprint,
    )
    (place / "model").mkdir()
    model.copy_to(place / "model")
    (place / "library.json").write_text(json.dumps(json.loads(said)))
    return place

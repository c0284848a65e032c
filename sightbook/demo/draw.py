"""The demo's own collection: small pictures of twelve kinds, whose colours and places tell nothing.

Data flow: `draw(kind, rng, side)` paints one picture: a ground of colour clouds, the shape through a random placement,
light and grain over both. `collection(folder, ...)` writes a folder of them under names that do not tell the kind, and
the kinds to a CSV beside it which only the evaluation reads.
"""

from __future__ import annotations

import colorsys
import csv
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sightbook.cores import cores
from sightbook.demo.kinds import KINDS
from sightbook.demo.pen import OVERSAMPLING, Colour, Pen
from sightbook.errors import SightbookError
from sightbook.progress import Listener, Meter, silent


@dataclass(frozen=True, slots=True)
class Collection:
    """Where a drawn collection lies: the database in folder/train, the queries in folder/test, their kinds in a CSV.

    That is the layout which `sightbook evaluate --protocol labelled` knows; the CSV has the columns file and label.
    """

    folder: Path

    @property
    def train(self) -> Path:
        return self.folder / "train"

    @property
    def test(self) -> Path:
        return self.folder / "test"

    @property
    def kinds(self) -> Path:
        return self.folder / "kinds.csv"

    def part(self, folder: Path, database: int, queries: int) -> Collection:
        """The first so many pictures of either half, copied into the new `folder`."""
        made = Collection(folder)
        rows = []
        with self.kinds.open(encoding="utf-8", newline="") as file:
            kinds = {row["file"]: row["label"] for row in csv.DictReader(file)}
        for half, count in (("train", database), ("test", queries)):
            (folder / half).mkdir(parents=True)
            for path in sorted((self.folder / half).iterdir())[:count]:
                shutil.copyfile(path, folder / half / path.name)
                rows.append((f"{half}/{path.name}", kinds[f"{half}/{path.name}"]))
        _write_kinds(made, rows)
        return made


def draw(kind: str, rng: np.random.Generator, side: int = 32) -> np.ndarray:
    """Paints one picture of `kind` (a key of `KINDS`): (side, side, 3) uint8, the same for the same generator state."""
    shape, turn_limit, fills = KINDS[kind]
    large = side * OVERSAMPLING
    ground_light = rng.uniform(0.05, 0.95)
    canvas = _ground(rng, ground_light, large)
    size = rng.uniform(0.3, 0.55) if fills else rng.uniform(0.26, 0.46)
    wander = 0.5 - 0.85 * size if not fills else 0.2
    shift = large * (0.5 + rng.uniform(-wander, wander, size=2))
    pen = Pen(canvas, _turn(rng, turn_limit) * size * large, shift, _colours(rng, ground_light))
    shape(pen, rng)
    picture = np.asarray(canvas.reduce(OVERSAMPLING), dtype=np.float32)
    light = _clouds(rng, side, 3)[..., :1] * rng.uniform(0, 0.35)
    grain = rng.normal(0, rng.uniform(1, 14), size=(side, side, 1))
    return np.clip(picture * (1 + light) + grain, 0, 255).astype(np.uint8)


def collection(
    folder: Path,
    *,
    database: int = 6000,
    queries: int = 600,
    side: int = 32,
    seed: int = 0,
    listener: Listener = silent,
) -> Collection:
    """Draws `database` pictures into folder/train and `queries` into folder/test.

    Kinds come equally often, in shuffled order. Each picture depends on `seed` and its number alone, so each core
    draws some of them.
    """
    made = Collection(folder)
    total = database + queries
    made.train.mkdir(parents=True, exist_ok=True)
    made.test.mkdir(parents=True, exist_ok=True)
    jobs = min(cores(), 1 + total // _WORTH_A_PROCESS)
    meter = Meter(listener, "draw", total)
    drawing = [_Some(str(folder), database, queries, side, seed, job, jobs) for job in range(jobs)]
    others = [
        subprocess.Popen([sys.executable, "-c", _PROGRAM, json.dumps([sys.path, asdict(some)])])
        for some in drawing[1:]
    ]
    try:
        for _ in _drawn(drawing[0]):
            meter.advance(min(jobs, total - meter.done))
        for other in others:
            if other.wait():
                raise SightbookError(f"drawing into {folder} failed: look whether its disk is full")
    finally:
        for other in others:
            other.kill()
            other.wait()
    meter.close()
    _write_kinds(made, [(_name(number, database), kind) for number, kind in _kinds(total, seed)])
    return made


_WORTH_A_PROCESS = 1000  # pictures: starting one takes as long as drawing some hundred
_PROGRAM = (
    "import json, sys; sys.path[:], some = json.loads(sys.argv[1]); "
    "from sightbook.demo.draw import helper; helper(some)"
)


@dataclass(frozen=True, slots=True)
class _Some:
    """Every `jobs`-th picture of a collection, from number `job` on."""

    folder: str
    database: int
    queries: int
    side: int
    seed: int
    job: int
    jobs: int


def helper(some: dict[str, Any]) -> None:
    """What another process runs: it draws its share."""
    for _ in _drawn(_Some(**some)):
        pass


def _drawn(some: _Some) -> Iterator[int]:
    """Draws them, and gives the number of each."""
    for number, kind in _kinds(some.database + some.queries, some.seed)[some.job :: some.jobs]:
        pixels = draw(kind, np.random.default_rng([some.seed, 2, number]), some.side)
        path = Path(some.folder) / _name(number, some.database)
        Image.fromarray(pixels).save(path, compress_level=1)
        yield number


def _kinds(total: int, seed: int) -> list[tuple[int, str]]:
    names = list(KINDS)
    order = np.random.default_rng([seed, 1]).permutation(total)
    return [(number, names[int(order[number]) % len(names)]) for number in range(total)]


def _name(number: int, database: int) -> str:
    return f"{'train' if number < database else 'test'}/{number:06d}.png"


def _write_kinds(made: Collection, rows: list[tuple[str, str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "label"))
    writer.writerows(rows)
    made.kinds.write_text(text.getvalue(), encoding="utf-8")


def _turn(rng: np.random.Generator, limit: float) -> np.ndarray:
    """A rotation by at most `limit` degrees, a little stretched: (2, 2)."""
    angle = np.deg2rad(rng.uniform(-limit, limit))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    stretch = np.diag([rng.uniform(0.85, 1.15), rng.uniform(0.85, 1.15)])
    return np.asarray(rotation @ stretch)


def _colour(rng: np.random.Generator, light: float) -> Colour:
    red, green, blue = colorsys.hls_to_rgb(rng.random(), light, rng.uniform(0.2, 1.0))
    return round(255 * red), round(255 * green), round(255 * blue)


def _colours(rng: np.random.Generator, ground_light: float) -> list[Colour]:
    """Four colours: 0 to 2 stand out from the ground's lightness, 3 stands out from 0 (eyes on a face)."""
    room_below, room_above = ground_light - 0.3, 0.7 - ground_light
    darker = room_above <= 0.05 or (room_below > 0.05 and rng.random() < 0.5)
    low, high = (0.02, max(room_below, 0.1)) if darker else (min(ground_light + 0.3, 0.9), 0.97)
    shape = [_colour(rng, rng.uniform(low, high)) for _ in range(3)]
    own = (low + high) / 2
    return [*shape, _colour(rng, own + 0.42 if own < 0.5 else own - 0.42)]


def _clouds(rng: np.random.Generator, side: int, cells: int) -> np.ndarray:
    """Smooth noise (side, side, 3) float32 in about [-1, 1]: a few random cells blown up."""
    small = rng.integers(0, 256, size=(cells, cells, 3), dtype=np.uint8)
    return (
        np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC), np.float32) / 127.5
        - 1
    )


def _ground(rng: np.random.Generator, light: float, side: int) -> Image.Image:
    """A ground of one main lightness: plain, a gradient, clouds, or fine patches, faint to strong."""
    base = np.asarray(_colour(rng, light), dtype=np.float32)
    strength = rng.uniform(0, 55)
    cells = int(rng.choice([2, 3, 5, 9]))
    return Image.fromarray(np.clip(base + strength * _clouds(rng, side, cells), 0, 255).astype(np.uint8))

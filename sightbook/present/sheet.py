"""A contact sheet: each query with a frame of its own at the left of its row, its results in order, scores and names.

Data flow: pictures as their owners give them (path, bytes, array, Pillow picture) → read as searches read them, fitted
into a cell → one canvas → PNG, JPEG or WebP by the file's name. A picture that is gone or unreadable gets a cell that
says so.
"""

from __future__ import annotations

import functools
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from sightbook.errors import ConfigError, PictureError, SightbookError
from sightbook.files import MARK, replace_atomic
from sightbook.images.load.apart import make_apart
from sightbook.images.ours import refuse_foreign
from sightbook.images.pixels.picture import Picture, split

PAPER = (250, 249, 246)
CARD = (238, 236, 231)
_INK = (38, 38, 36)
_FAINT = (128, 124, 116)
_RULE = (221, 217, 209)
QUERY = (196, 78, 36)
_RIGHT, _WRONG = (38, 128, 62), (176, 36, 44)
_SOFTWARE = 0x0131  # EXIF 2.32
_MARGIN, _GAP, _TEXT = 28, 16, 46
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_MOST_PIXELS = 200_000_000
_LONGEST = {"PNG": 2**31, "JPEG": 65_500, "WEBP": 16_383}  # pixels of a side


class Shown(Protocol):
    """What a result must tell to be drawn; `sightbook.search.hit.Hit` does."""

    @property
    def query(self) -> int: ...
    @property
    def rank(self) -> int: ...
    @property
    def score(self) -> float: ...
    @property
    def path(self) -> str: ...
    def read(self) -> bytes: ...


@dataclass(frozen=True)
class _Cell:
    picture: Image.Image | None
    left: str
    right: str
    name: str
    frame: tuple[int, int, int] | None = None


def sheet(
    queries: Picture | Sequence[Picture],
    hits: Sequence[Shown] | Sequence[Sequence[Shown]],
    out: str | os.PathLike[str],
    *,
    columns: int = 6,
    side: int = 200,
    title: str | None = None,
    names: Sequence[str] | None = None,
    right: Sequence[Sequence[bool]] | None = None,
) -> Path:
    """Draws `queries` and their `hits` to `out` and returns its path.

    hits: those of all queries, each one's `query` says whose it is; or a list for each query.

    columns: most results side by side; side: pixels of a cell; names: what is written below each query instead of its
    file's name; right: for each query's results whether they are right, told by a green or red frame. Written
    atomically.
    Raises ConfigError for a file name that is no picture's or that something other than a sheet has, or a sheet too
    large to draw.
    """
    out = Path(out)
    check_name(out)
    if columns < 1 or side < 32:
        raise ConfigError(
            f"a sheet of {columns} columns of {side} pixels cannot be drawn: give at least 1 and 32"
        )
    pictures = split(queries)
    rows = list(zip(pictures, _grouped(hits, len(pictures)), strict=True))
    # Rows that must be wrapped are wrapped evenly: 10 results are 5 and 5, not 6 and 4.
    longest = max([len(found) for _, found in rows] + [1])
    width = -(-longest // -(-longest // columns))
    lines = [max(1, -(-len(found) // width)) for _, found in rows]
    step = side + _GAP
    top = _MARGIN + (36 if title else 0)
    between = 2 * _GAP
    canvas_width = 2 * _MARGIN + step + 2 * _GAP + width * step - _GAP
    canvas_height = top + sum(lines) * (step + _TEXT) + (len(rows) - 1) * between - _GAP + _MARGIN
    format = _FORMATS[out.suffix.lower()]
    if canvas_width * canvas_height > _MOST_PIXELS or max(canvas_width, canvas_height) > _LONGEST[format]:
        raise ConfigError(
            f"the sheet would have {canvas_width} × {canvas_height} pixels, too many for {format}: ask with fewer "
            "pictures, for fewer results, or for smaller cells"
        )
    canvas = Image.new("RGB", (canvas_width, canvas_height), PAPER)
    draw = ImageDraw.Draw(canvas)
    if title:
        _write(draw, (_MARGIN, _MARGIN - 6), title, 20, _INK, room=canvas_width - 2 * _MARGIN)
    y = top
    for index, (picture, found) in enumerate(rows):
        if index:
            rule = y - between // 2 - _GAP // 2
            draw.line((_MARGIN, rule, canvas_width - _MARGIN, rule), fill=_RULE, width=1)
        query = _query_cell(picture, index, len(rows), side, None if names is None else names[index])
        _paint(canvas, draw, (_MARGIN, y), query, side)
        left = _MARGIN + step + 2 * _GAP
        if not found:
            _write(draw, (left, y + side // 2 - 10), "no results", 16, _FAINT, room=width * step)
        for place, hit in enumerate(found):
            at = (left + place % width * step, y + place // width * (step + _TEXT))
            frame = None if right is None else (_RIGHT if right[index][place] else _WRONG)
            _paint(canvas, draw, at, _hit_cell(hit, side, frame), side)
        y += lines[index] * (step + _TEXT) + between
    with replace_atomic(out) as temporary:
        canvas.save(temporary, format=format, **_options(format))
    return out


def _options(format: str) -> dict[str, Any]:
    """How a format is written: with the mark by which `add` knows that this is no picture of a collection."""
    if format == "PNG":
        info = PngInfo()
        info.add_text("Software", MARK)
        return {"optimize": False, "pnginfo": info}
    exif = Image.Exif()
    exif[_SOFTWARE] = MARK
    return {"quality": 90, "exif": exif}


def check_name(out: Path) -> None:
    """ConfigError when a sheet cannot be written under this name, or would take the place of another picture."""
    if out.suffix.lower() not in _FORMATS:
        raise ConfigError(f"{out} is no picture file: let the sheet's name end in {', '.join(_FORMATS)}")
    refuse_foreign(out)


def _grouped(hits: Sequence[Shown] | Sequence[Sequence[Shown]], queries: int) -> list[list[Shown]]:
    groups: list[list[Shown]] = [[] for _ in range(queries)]
    for number, item in enumerate(hits):
        if isinstance(item, Sequence):
            groups[number].extend(item)
        else:
            shown = cast(Shown, item)
            groups[shown.query].append(shown)
    return groups


def _query_cell(picture: Picture, number: int, of: int, side: int, name: str | None) -> _Cell:
    if name is None:
        name = Path(picture).name if isinstance(picture, str | os.PathLike) else ""
    label = "query" if of == 1 else f"query {number + 1}"
    return _Cell(_fitted(picture, side - 16), label, "", name, QUERY)


def _hit_cell(hit: Shown, side: int, frame: tuple[int, int, int] | None) -> _Cell:
    try:
        picture = _fitted(hit.read(), side)
    except (SightbookError, OSError):
        picture = None
    return _Cell(picture, str(hit.rank), f"{hit.score:z.3f}", PurePosixPath(hit.path).name, frame)


def _fitted(picture: Picture, side: int) -> Image.Image | None:
    """The whole picture as searches see it, no larger than side × side; None when unreadable."""
    try:
        fitted, _ = make_apart(picture, side, functools.partial(_fit, side=side))
        return Image.fromarray(fitted)
    except PictureError:
        return None


def _fit(image: Image.Image, side: int) -> NDArray[np.uint8]:
    # Small pictures (CIFAR's 32 pixels) are enlarged, too: a sheet is there to be looked at.
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC))


def _paint(
    canvas: Image.Image, draw: ImageDraw.ImageDraw, at: tuple[int, int], cell: _Cell, side: int
) -> None:
    x, y = at
    box = (x, y, x + side - 1, y + side - 1)
    draw.rounded_rectangle(box, 6, fill=CARD)
    if cell.picture is not None:
        corner = (x + (side - cell.picture.width) // 2, y + (side - cell.picture.height) // 2)
        canvas.paste(cell.picture, corner)
    else:
        note = "cannot be read"
        inset = max(12, (side - round(load_font(15).getlength(note))) // 2)
        _write(draw, (x + inset, y + side // 2 - 9), note, 15, _FAINT, room=side - 24)
    if cell.frame is not None:
        draw.rounded_rectangle((x - 1, y - 1, x + side, y + side), 7, outline=cell.frame, width=5)
    ink = _INK if cell.frame is None else cell.frame
    _write(draw, (x + 2, y + side + 5), cell.left, 16, ink, room=side - (70 if cell.right else 4), bold=True)
    if cell.right:
        length = load_font(16).getlength(cell.right)
        _write(draw, (x + side - 2 - round(length), y + side + 5), cell.right, 16, _INK, room=side)
    _write(draw, (x + 2, y + side + 25), cell.name, 13, _FAINT, room=side - 4)


def _write(
    draw: ImageDraw.ImageDraw,
    at: tuple[int, int],
    text: str,
    size: int,
    ink: tuple[int, int, int],
    *,
    room: int,
    bold: bool = False,
) -> None:
    """One line in at most `room` pixels: the middle of a longer text gives way, since names differ at their ends."""
    # File names may hold anything: marks apart from their letters (NFD), bytes that are no text, line ends.
    text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode("utf-8"))
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    font = load_font(size, text.isascii())
    if font.getlength(text) > room:
        keep = len(text)
        while keep > 2 and font.getlength(shorten(text, keep)) > room:
            keep -= 1
        text = shorten(text, keep)
    draw.text(at, text, fill=ink, font=font, stroke_width=0.4 if bold else 0, stroke_fill=ink)


def shorten(text: str, keep: int) -> str:
    """`keep` letters of the text, half of them from its end, and an ellipsis between."""
    tail = keep // 2
    return f"{text[: keep - tail]}…{text[len(text) - tail :]}"


@functools.cache
def load_font(size: int, plain: bool = True) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Fonts that come along, so that a sheet looks the same everywhere: Pillow's own, which knows little more than
    ASCII, and DejaVu Sans for Latin with marks, Greek, Cyrillic, Hebrew, Arabic and more (not Chinese or Japanese).
    """
    if plain:
        return ImageFont.load_default(size)
    return ImageFont.truetype(Path(__file__).with_name("fonts") / "DejaVuSans.ttf", round(size * 0.92))

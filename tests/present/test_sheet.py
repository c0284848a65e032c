from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sightbook.errors import ConfigError, SourceError
from sightbook.present import sheet as drawing
from sightbook.present.sheet import sheet


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (40, 40)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


@dataclass(frozen=True)
class Result:
    query: int
    rank: int
    score: float
    path: str
    data: bytes | None = None

    def read(self) -> bytes:
        if self.data is None:
            raise SourceError("gone")
        return self.data


RED, GREEN, BLUE, GREY = (250, 0, 0), (0, 250, 0), (0, 0, 250), (90, 90, 90)
SIDE, STEP, LEFT, TOP = 200, 216, 28, 28
RESULTS = LEFT + STEP + 32


def colour(image: Image.Image, column: int, row_top: int) -> tuple[int, ...]:
    """The pixel at the middle of a result's cell (column -1: the query's)."""
    x = LEFT if column < 0 else RESULTS + column * STEP
    return image.getpixel((x + SIDE // 2, row_top + SIDE // 2))


def test_queries_stand_left_of_their_results_in_order(tmp_path: Path) -> None:
    hits = [Result(0, 1, 0.9, "a.png", plain(GREEN)), Result(0, 2, 0.8, "b.png", plain(BLUE))]
    hits += [Result(1, 1, 0.7, "c.png", plain(GREY))]
    queries = [plain(RED), np.full((9, 9, 3), 250, np.uint8)]
    image = Image.open(sheet(queries, hits, tmp_path / "s.png"))
    second = TOP + SIDE + 16 + 46 + 32
    assert [colour(image, column, TOP) for column in (-1, 0, 1)] == [RED, GREEN, BLUE]
    assert [colour(image, column, second) for column in (-1, 0)] == [(250, 250, 250), GREY]
    nested = Image.open(sheet(queries, [hits[:2], hits[2:]], tmp_path / "n.png"))
    assert image.tobytes() == nested.tobytes()


@pytest.mark.parametrize("name", ["photo.png", "photo.jpg", "photo.webp", "link.png", "folder.png"])
def test_a_sheet_takes_no_other_pictures_place(name: str, tmp_path: Path) -> None:
    photo = plain(RED)
    if name.startswith("link"):
        (tmp_path / "behind.png").write_bytes(photo)
        (tmp_path / name).symlink_to(tmp_path / "behind.png")
    elif name.startswith("folder"):
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_bytes(photo)
    with pytest.raises(
        ConfigError, match=f"{name} is there already, and no sheet or plot that sightbook drew"
    ):
        sheet(plain(GREEN), [Result(0, 1, 0.9, "a.png", plain(GREEN))], tmp_path / name)
    if not name.startswith("folder"):
        assert (tmp_path / name).read_bytes() == photo


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_sheet_is_drawn_anew_over_a_sheet_and_into_an_empty_file(suffix: str, tmp_path: Path) -> None:
    out = tmp_path / f"s{suffix}"
    out.touch()
    for answer in (GREEN, BLUE):
        sheet(plain(RED), [Result(0, 1, 0.9, "a.png", plain(answer))], out)
        found = colour(Image.open(out).convert("RGB"), 0, TOP)
        assert np.abs(np.subtract(found, answer)).max() < 9


def test_long_rows_are_wrapped(tmp_path: Path) -> None:
    colours = [(10 * n, 0, 100) for n in range(7)]
    hits = [Result(0, n + 1, 0.5, f"{n}.png", plain(colours[n])) for n in range(7)]
    image = Image.open(sheet(plain(RED), hits, tmp_path / "s.png", columns=3))
    line = STEP + 46
    assert [colour(image, n % 3, TOP + n // 3 * line) for n in range(7)] == colours
    assert image.width == 2 * 28 + STEP + 32 + 3 * STEP - 16


def test_scores_have_three_decimals_and_zero_no_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda draw, at, text, **how: written.append(text))
    hits = [Result(0, n, score, f"{n}.png", plain(BLUE)) for n, score in enumerate((1.0, -0.0001, -0.25), 1)]
    sheet(plain(RED), hits, tmp_path / "s.png")
    assert [text for text in written if text.count(".") == 1 and text[-1].isdigit()] == [
        "1.000",
        "0.000",
        "-0.250",
    ]


@pytest.mark.parametrize(("results", "across"), [(1, 1), (6, 6), (7, 4), (10, 5), (12, 6), (13, 5)])
def test_wrapped_rows_are_even(tmp_path: Path, results: int, across: int) -> None:
    hits = [Result(0, n, 0.5, "", plain(BLUE)) for n in range(results)]
    image = Image.open(sheet(plain(RED), hits, tmp_path / "s.png"))
    assert image.width == 2 * 28 + STEP + 32 + across * STEP - 16


def test_only_the_query_has_a_frame(tmp_path: Path) -> None:
    image = Image.open(sheet(plain(RED), [Result(0, 1, 1.0, "a.png", plain(GREEN))], tmp_path / "s.png"))
    assert image.getpixel((LEFT + 1, TOP + 100)) == drawing.QUERY
    assert image.getpixel((RESULTS + 1, TOP + 100)) == GREEN


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    turned = Image.new("RGB", (40, 20), BLUE)
    turned.paste(RED, (0, 0, 20, 20))  # left half red; orientation 6 makes it the upper half
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "t.png", exif=exif)
    image = Image.open(sheet(tmp_path / "t.png", [], tmp_path / "s.png"))
    middle = LEFT + SIDE // 2
    assert (image.getpixel((middle, TOP + 50)), image.getpixel((middle, TOP + 150))) == (RED, BLUE)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "I;16", "1"])
def test_every_mode_can_be_shown(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("m.tif" if mode == "CMYK" else "m.png")
    Image.new(mode, (30, 30)).save(path)
    image = Image.open(sheet(path, [], tmp_path / "s.png"))
    white = mode in ("LA", "RGBA")  # all transparent
    expected = (255, 255, 255) if white or mode == "CMYK" else (0, 0, 0)
    assert colour(image, -1, TOP) == expected


def test_a_picture_that_is_gone_or_broken_costs_one_cell(tmp_path: Path) -> None:
    hits = [
        Result(0, 1, 0.9, "gone.png"),
        Result(0, 2, 0.8, "bad.png", b"no picture"),
        Result(0, 3, 0.7, "c.png", plain(BLUE)),
    ]
    image = Image.open(sheet(plain(RED), hits, tmp_path / "s.png"))
    assert image.getpixel((RESULTS + 100, TOP + 20)) == drawing.CARD
    assert colour(image, 2, TOP) == BLUE


@pytest.mark.parametrize(
    "name",
    [
        "пальто.jpg",
        "a\u0308rmel.jpg",
        "שמלה.jpg",
        "line\nend.jpg",
        "caf\udce9.jpg",
        "\uefe9.jpg",
        "",
        "x" * 400,
        "连衣裙.jpg",
    ],
)
def test_any_name_can_be_written(tmp_path: Path, name: str) -> None:
    bare = Image.open(sheet(plain(RED), [Result(0, 1, 0.5, "", plain(BLUE))], tmp_path / "bare.png"))
    named = Image.open(sheet(plain(RED), [Result(0, 1, 0.5, name, plain(BLUE))], tmp_path / "named.png"))
    assert bare.size == named.size
    assert (bare.tobytes() != named.tobytes()) == bool(name)


def test_letters_beyond_ascii_are_not_boxes() -> None:
    box = drawing.load_font(16, False).getmask("\uffff").getbbox()
    shapes = {bytes(drawing.load_font(16, False).getmask(letter)) for letter in "äжλשñ"}
    assert len(shapes) == 5
    assert all(drawing.load_font(16, False).getmask(letter).getbbox() != box for letter in "äжλñ")


def test_long_names_keep_both_ends() -> None:
    assert drawing.shorten("abcdefghij", 6) == "abc…hij"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG", ".webp"])
def test_the_file_name_decides_the_format(tmp_path: Path, suffix: str) -> None:
    out = sheet(plain(RED), [Result(0, 1, 0.5, "a", plain(BLUE))], tmp_path / f"s{suffix}", title="One query")
    assert Image.open(out).format == {".png": "PNG", ".webp": "WEBP"}.get(suffix, "JPEG")
    assert [item.name for item in tmp_path.iterdir()] == [f"s{suffix}"]


def test_no_results_are_said(tmp_path: Path) -> None:
    empty = Image.open(sheet(plain(RED), [], tmp_path / "s.png"))
    area = empty.crop((RESULTS, TOP, empty.width - 28, TOP + SIDE))
    assert area.getextrema() != tuple((value, value) for value in drawing.PAPER)


@pytest.mark.parametrize(
    ("options", "name", "sentence"),
    [
        ({}, "s.txt", "is no picture file: let the sheet's name end in .png, .jpg, .jpeg, .webp"),
        ({}, "s", "is no picture file"),
        (
            {"columns": 0},
            "s.png",
            "a sheet of 0 columns of 200 pixels cannot be drawn: give at least 1 and 32",
        ),
        (
            {"columns": 1000, "side": 1000},
            "s.png",
            "ask with fewer pictures, for fewer results, or for smaller cells",
        ),
    ],
)
def test_a_sheet_that_cannot_be_is_refused(tmp_path: Path, options: dict, name: str, sentence: str) -> None:
    hits = [Result(0, n, 0.5, "a", None) for n in range(300)]
    with pytest.raises(ConfigError) as error:
        sheet(plain(RED), hits, tmp_path / name, **options)
    assert sentence in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("suffix", "most"), [(".webp", 55), (".jpg", 222)])
def test_a_sheet_longer_than_its_format_allows_is_refused_before_a_picture_is_read(
    tmp_path: Path, suffix: str, most: int
) -> None:
    """A row is 294 pixels; a side of WebP ends at 16,383, of JPEG at 65,500."""
    queries = [tmp_path / "none.png"] * (most + 1)
    with pytest.raises(ConfigError, match=r"pixels, too many for (WEBP|JPEG): ask with fewer"):
        sheet(queries, [], tmp_path / f"s{suffix}".replace("jpg", "jpeg"), side=200)
    assert list(tmp_path.iterdir()) == []
    drawn = Image.open(sheet(queries[:most], [], tmp_path / f"s{suffix}"))
    assert drawn.height == 294 * most + 8


def test_queries_may_be_whatever_a_search_takes(tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(plain(RED))
    path = str(tmp_path / "red.png")
    asked = [path, io.BytesIO(plain(RED)), {"bytes": plain(RED), "path": None}, {"bytes": None, "path": path}]
    for queries in (
        asked,
        tuple(asked),
        iter(asked),
        np.array([path, path]),
        np.full((2, 9, 9, 3), RED, np.uint8),
    ):
        image = Image.open(sheet(queries, [], tmp_path / "s.png"))
        for top in range(TOP, image.height - 60, SIDE + 16 + 46 + 32):
            assert colour(image, -1, top) == RED

"""A file, its bytes, its Pillow picture and its cell on a sheet are one picture: between images, library and sheet."""

from __future__ import annotations

import io
import os
import re
import sys
import threading
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sightbook
from sightbook.errors import PictureError
from sightbook.images.pixels.guards import Guards
from sightbook.images.pixels.picture import read_picture
from sightbook.library.library import Library
from sightbook.model.model import Model
from sightbook.present.sheet import sheet
from tests.images.pictures import encoded, gradient, with_orientation, write_folder
from tests.tiny import tiny_model

RGB = gradient(90, 70)
GREY = RGB[..., 0]
posix = pytest.mark.skipif(os.name == "nt", reason="pipes with names are POSIX")


def _palette() -> Image.Image:
    image = Image.fromarray(RGB).quantize(16)
    image.info["transparency"] = 3
    return image


def _heic() -> bytes:
    heif = pytest.importorskip("pillow_heif", reason="the extra 'heif' is not installed")
    stream = io.BytesIO()
    heif.from_pillow(Image.fromarray(RGB)).save(stream, quality=-1, chroma=444)
    return stream.getvalue()


MADE = {
    "rgb.png": lambda: encoded(RGB),
    "rgba.png": lambda: encoded(np.dstack([RGB, GREY])),
    "la.png": lambda: encoded(Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(RGB[..., 1])])),
    "palette.png": lambda: encoded(_palette(), "PNG", transparency=3),
    "palette.gif": lambda: encoded(_palette(), "GIF", transparency=3),
    "16.png": lambda: encoded(Image.fromarray(GREY.astype(np.uint16) * 257)),
    "12.tif": lambda: encoded(Image.fromarray(GREY.astype(np.uint16) * 16), "TIFF"),
    "i.tif": lambda: encoded(Image.fromarray(GREY.astype(np.int32) * 200), "TIFF"),
    "f.tif": lambda: encoded(Image.fromarray(GREY.astype(np.float32) / 255), "TIFF"),
    "cmyk.jpg": lambda: encoded(Image.fromarray(RGB).convert("CMYK"), "JPEG"),
    "turned.jpg": lambda: with_orientation(RGB, 6, "JPEG"),
    "turned.tif": lambda: with_orientation(RGB, 8, "TIFF"),
    "rgba.webp": lambda: encoded(np.dstack([RGB, GREY]), "WEBP", lossless=True),
    "a.avif": lambda: encoded(RGB, "AVIF"),
    "a.heic": _heic,
    "bits.bmp": lambda: encoded(Image.fromarray(GREY > 99), "BMP"),
}


def opened(data: bytes) -> Image.Image:
    if data[4:8] == b"ftyp" and b"hei" in data[8:32]:
        from pillow_heif import HeifImageFile

        return HeifImageFile(io.BytesIO(data))
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("side", [None, 16])
def test_a_file_its_bytes_and_its_pillow_picture_have_equal_pixels(
    name: str, side: int | None, tmp_path: Path
) -> None:
    data = MADE[name]()
    path = tmp_path / name
    path.write_bytes(data)
    image, loaded = opened(data), opened(data)
    loaded.load()
    wanted, about = read_picture(path, side=side)
    assert wanted.mode == "RGB" and np.asarray(wanted).std() > 10
    for given in (str(path), data, bytearray(data), memoryview(data), image, loaded):
        found = read_picture(given, side=side)
        assert found[1] == about
        assert found[0].size == wanted.size
        difference = np.abs(np.asarray(found[0], int) - np.asarray(wanted, int))
        # A loaded JPEG has no file to be read at a reduced size from: means of its pixels stand for that.
        assert difference.max() <= (2 if given is loaded and name.endswith("jpg") else 0)
    assert np.array_equal(read_picture(np.asarray(wanted))[0], wanted)


def test_what_was_opened_stays_usable_and_where_it_was() -> None:
    image = opened(MADE["turned.jpg"]())
    place = image.fp.tell()
    read_picture(image, side=16)
    assert image.fp.tell() == place and image.size == (90, 70)
    image.load()


def test_another_frame_is_taken_as_the_user_chose_it() -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    image = opened(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    image.seek(1)
    assert read_picture(image)[0].getpixel((0, 0)) == (0, 250, 0)


def test_a_pillow_picture_of_another_format_is_its_pixels() -> None:
    assert np.array_equal(read_picture(opened(encoded(RGB, "PPM")))[0], RGB)


@pytest.mark.parametrize("how", ["closed", "truncated", "too large"])
def test_a_pillow_picture_that_cannot_be_read_is_a_picture_error(how: str, tmp_path: Path) -> None:
    data = encoded(RGB)
    if how == "truncated":
        data = data[: len(data) // 2]
    image = Image.open(io.BytesIO(data))
    if how == "closed":
        image.close()
    with pytest.raises(PictureError):
        read_picture(image, guards=Guards(megapixels=0.001) if how == "too large" else None)


@dataclass(frozen=True)
class Result:
    query: int
    rank: int
    score: float
    path: str
    data: bytes

    def read(self) -> bytes:
        return self.data


@pytest.mark.parametrize("name", MADE)
def test_a_cell_of_a_sheet_shows_what_is_searched_by(name: str, tmp_path: Path) -> None:
    data = MADE[name]()
    hits = [Result(0, 1, 0.5, name, data)]
    drawn = np.asarray(Image.open(sheet(opened(data), hits, tmp_path / "s.png")).convert("RGB"), int)
    wanted = read_picture(data)[0]
    scale = 200 / max(wanted.size)
    fitted = wanted.resize(
        (round(wanted.width * scale), round(wanted.height * scale)), Image.Resampling.BICUBIC
    )
    left, top = 28 + 216 + 32 + (200 - fitted.width) // 2, 28 + (200 - fitted.height) // 2
    cell = drawn[top : top + fitted.height, left : left + fitted.width]
    assert np.abs(cell - np.asarray(fitted, int)).mean() < 1
    assert np.ptp(drawn[60:180, 60:180]) > 20, "the query's cell is blank"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.open(tiny_model(tmp_path_factory.mktemp("model")), threads=1)


def test_a_search_answers_alike_for_a_file_and_its_pillow_picture(tmp_path: Path, model: Model) -> None:
    files = {name: make() for name, make in MADE.items() if name != "a.heic"}
    files |= {f"{n}.jpg": encoded(gradient(400 + n, 300, n), "JPEG") for n in range(6)}
    photos = write_folder(tmp_path / "photos", files)
    with Library.open(tmp_path / "library", create_with=model) as library:
        library.add(photos)
        for name in files:
            path = photos / name
            asked = [str(path), path, path.read_bytes(), Image.open(path)]
            answers = [[(hit.id, hit.raw) for hit in library.search(one, k=10)] for one in asked]
            assert answers[1:] == answers[:-1], name


@posix
def test_what_has_no_end_is_refused_at_once(tmp_path: Path, model: Model) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for endless in (tmp_path / "pipe.jpg", "/dev/zero"):
        with pytest.raises(PictureError, match="pipe or a device"):
            model.prepare(endless)


@posix
def test_a_pipe_in_a_pictures_place_is_one_failure(tmp_path: Path, model: Model) -> None:
    photos = write_folder(tmp_path / "photos", {"a.png": encoded(RGB), "b.png": encoded(gradient(20, 20))})
    with Library.open(tmp_path / "library", create_with=model) as library:
        library.add(photos)
        hit = next(hit for hit in library.search(photos / "a.png", k=2) if hit.path == "b.png")
        (photos / "b.png").unlink()
        os.mkfifo(photos / "b.png")
        reading: list[str] = []

        def read() -> None:
            try:
                hit.read()
            except PictureError as error:
                reading.append(str(error))

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        thread.join(100)
        assert reading and "pipe or a device" in reading[0]


@pytest.mark.skipif(sys.platform == "win32", reason="sparse files need a command there")
def test_a_large_file_is_refused_by_its_size_and_not_read(tmp_path: Path, model: Model) -> None:
    movie = tmp_path / "big.mov"
    with movie.open("wb") as file:
        file.truncate(3_000_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(PictureError, match="its 3000 MB are over the limit of 100 MB"):
            model.prepare(movie)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000, "bytes that it held at once"
    finally:
        tracemalloc.stop()


def test_the_environment_raises_the_limits(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(RGB)
    monkeypatch.setenv("SIGHTBOOK_MEGAPIXELS", "0.006")
    with pytest.raises(
        PictureError, match=r"90 x 70 pixels are over .* 0\.006 megapixels .SIGHTBOOK_MEGAPIXELS raises"
    ):
        model.prepare(data)
    monkeypatch.setenv("SIGHTBOOK_MEGAPIXELS", "0.0063")
    model.prepare(data)
    monkeypatch.setenv("SIGHTBOOK_MEGABYTES", "0.0001")
    with pytest.raises(PictureError, match="SIGHTBOOK_MEGABYTES raises it"):
        model.prepare(data)
    for wrong in ("much", "-1", "nan", "inf"):
        monkeypatch.setenv("SIGHTBOOK_MEGABYTES", wrong)
        with pytest.raises(sightbook.SightbookError, match=f"SIGHTBOOK_MEGABYTES is '{wrong}'"):
            model.prepare(data)


def _several(format: str) -> bytes:
    """A red, a green and a blue picture; of HEIC the second is the main one."""
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "lime", "blue")]
    stream = io.BytesIO()
    if format == "AVIF":
        frames[0].save(stream, "AVIF", save_all=True, append_images=frames[1:], quality=100)
        return stream.getvalue()
    heif = pytest.importorskip("pillow_heif", reason="the extra 'heif' is not installed")
    file = heif.from_pillow(frames[0])
    for frame in frames[1:]:
        file.add_from_pillow(frame)
    file.save(stream, quality=-1, chroma=444, primary_index=1)
    return stream.getvalue()


@pytest.mark.parametrize(("format", "main"), [("AVIF", 0), ("HEIC", 1)])
def test_a_frame_of_a_file_of_several_is_taken_as_the_user_chose_it(format: str, main: int) -> None:
    data = _several(format)
    for frame in (None, 0, 1, 2):
        image = opened(data)
        if frame is not None:
            image.seek(frame)
        seen = np.asarray(read_picture(image)[0]).mean((0, 1))
        assert seen.argmax() == (main if frame is None else frame)
    assert np.asarray(read_picture(data)[0]).mean((0, 1)).argmax() == main


def test_an_open_file_is_read_from_where_it_stands_and_left_there(model: Model) -> None:
    data = MADE["turned.jpg"]()
    wanted = model.prepare(data)
    for place in (0, 7):
        file = io.BytesIO(bytes(place) + data)
        file.seek(place)
        for _ in range(2):
            assert np.array_equal(model.prepare(file), wanted) and file.tell() == place
    for undecoded in ({"bytes": data, "path": "a.jpg"}, {"bytes": io.BytesIO(data)}):
        assert np.array_equal(model.prepare(undecoded), wanted)


class Endless(io.RawIOBase):
    """A stream that gives zeros for ever."""

    given = 0

    def read(self, size: int = -1) -> bytes:
        assert size > 0, "read without a limit"
        self.given += size
        return bytes(size)


class Odd:
    """Something of somebody's whose reading, or whose array, is an error of its own."""

    def __array__(self, *_: object, **__: object) -> None:
        raise RuntimeError("needs detach")


def test_what_is_no_picture_is_a_picture_error_of_every_way_to_pixels(model: Model, tmp_path: Path) -> None:
    endless = Endless()
    with pytest.raises(PictureError, match="its 100 MB are over the limit of 100 MB"):
        model.prepare(endless)
    assert endless.given <= 100_000_001
    for wrong in (Odd(), {"bytes": None}, {"path": 3}, object(), io.StringIO("text"), "x" * 300, "a\0b", 7):
        with pytest.raises(PictureError):
            model.prepare(wrong)
        sheet([wrong], [], tmp_path / "s.png")


def test_nothing_opens_pictures_but_the_one_way() -> None:
    root = Path(sightbook.__file__).parent
    opens = [
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(r"Image\.open\(|ImageFile\(|exif_transpose", path.read_text())
    ]
    assert opens == ["images/pixels/plugins.py"]

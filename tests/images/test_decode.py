"""Bytes → RGB: every mode and format, upright, guarded."""

from __future__ import annotations

import io
import struct
import sys
import threading
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from sightbook.errors import PictureError
from sightbook.images.pixels.decode import Guards, decode, decode_image
from tests.images.pictures import encoded, gradient, with_orientation

RGB = gradient()
GREY = RGB[..., 0]


def grey3(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2).astype(np.uint8)


# ---- formats


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_lossless_formats_are_bit_equal(format: str, options: dict[str, object]) -> None:
    pixels = decode(encoded(RGB, format, **options))
    assert pixels.dtype == np.uint8 and pixels.flags.writeable and np.array_equal(pixels, RGB)


@pytest.mark.parametrize(
    ("format", "options"), [("JPEG", {"quality": 95}), ("WEBP", {"quality": 95}), ("AVIF", {})]
)
def test_lossy_formats_equal_pillow(format: str, options: dict[str, object]) -> None:
    data = encoded(RGB, format, **options)
    assert np.array_equal(decode(data), np.array(Image.open(io.BytesIO(data)).convert("RGB")))


def test_the_content_counts_and_not_the_name() -> None:
    # decode never sees a name: a PNG called .jpg is a PNG, a text called .jpg is no picture.
    with pytest.raises(PictureError, match="not a picture of a known format"):
        decode(b"This is a text, whatever it is called.\n" * 10)


@pytest.mark.parametrize("format", ["PPM", "ICO", "TGA", "PCX", "EPS", "PDF"])
def test_formats_beyond_the_list_are_not_reached(format: str) -> None:
    with pytest.raises(PictureError):
        decode(encoded(RGB, format))


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_of_an_animation(format: str) -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    lossless = {"lossless": True} if format == "WEBP" else {}
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:], **lossless)
    assert np.array_equal(decode(data), np.full((6, 8, 3), (255, 0, 0), np.uint8))


def test_an_mpo_of_two_pictures_is_its_first() -> None:
    data = encoded(Image.fromarray(RGB), "MPO", save_all=True, append_images=[Image.new("RGB", (40, 30))])
    assert np.abs(decode(data).astype(int) - RGB).mean() < 5


# ---- HEIC


def heic(image: np.ndarray, **options: object) -> bytes:
    heif = pytest.importorskip("pillow_heif", reason="the extra 'heif' is not installed")
    stream = io.BytesIO()
    heif.from_pillow(Image.fromarray(image)).save(stream, quality=-1, chroma=444, **options)
    return stream.getvalue()


def test_heic_with_the_extra() -> None:
    registered = set(Image.OPEN)
    assert np.abs(decode(heic(RGB)).astype(int) - RGB).max() <= 3
    assert set(Image.OPEN) == registered, "Pillow's registry is everyone's"


def test_heic_without_the_extra_names_the_line_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    data = heic(RGB)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(PictureError, match=r'HEIC picture .* pip install "sightbook\[heif\]"'):
        decode(data)


def test_a_heic_bomb_is_refused_by_its_header() -> None:
    with pytest.raises(PictureError, match="40 x 30 pixels are over the limit"):
        decode(heic(RGB), guards=Guards(megapixels=0.001))


# ---- modes


def test_one_bit() -> None:
    bits = GREY > 127
    assert np.array_equal(decode(encoded(Image.fromarray(bits))), grey3(bits * 255))


def test_grey() -> None:
    assert np.array_equal(decode(encoded(GREY)), grey3(GREY))


def test_grey_with_alpha_lies_on_white() -> None:
    alpha = np.zeros_like(GREY)
    alpha[:, 20:] = 255
    data = encoded(Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(alpha)]))
    assert np.array_equal(decode(data), grey3(np.where(alpha == 255, GREY, 255)))


def test_alpha_lies_on_white_in_proportion() -> None:
    alpha = gradient()[..., 1]
    data = encoded(np.dstack([RGB, alpha]))
    share = alpha[..., None] / 255
    assert np.abs(decode(data) - (RGB * share + 255 * (1 - share))).max() <= 0.51


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_a_palette_with_a_transparent_colour_lies_on_white(format: str) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1])
    assert np.array_equal(decode(encoded(image, format, transparency=1)), [[[255, 0, 0], [255, 255, 255]]])
    assert np.array_equal(decode(encoded(image, format)), [[[255, 0, 0], [0, 0, 255]]])


def test_a_palette_with_alpha_bytes_lies_on_white() -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 0, 255, 0, 0, 0])
    image.putdata([0, 1, 2])
    pixels = decode(encoded(image, "PNG", transparency=bytes([255, 0, 128])))
    assert np.array_equal(pixels, [[[255, 0, 0], [255, 255, 255], [127, 127, 127]]])


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_transparent_colour_key_lies_on_white(mode: str) -> None:
    image = Image.new(mode, (2, 1), 10 if mode == "L" else (10, 10, 10))
    image.putpixel((1, 0), 20 if mode == "L" else (20, 20, 20))
    pixels = decode(encoded(image, "PNG", transparency=10 if mode == "L" else (10, 10, 10)))
    assert np.array_equal(pixels, [[[255] * 3, [20] * 3]])


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk(format: str) -> None:
    colours = {(0, 0, 0, 0): (255, 255, 255), (255, 0, 0, 0): (0, 255, 255), (0, 0, 0, 255): (0, 0, 0)}
    for ink, light in colours.items():
        pixels = decode(encoded(Image.new("CMYK", (16, 16), ink), format))
        assert np.abs(pixels.astype(int) - light).max() <= 2


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_covers_its_whole_range(format: str) -> None:
    values = np.array([[0, 128, 129, 257, 32768, 65278, 65535]], np.uint16)
    pixels = decode(encoded(Image.fromarray(values), format))
    assert np.array_equal(pixels, grey3(np.array([[0, 0, 1, 1, 128, 254, 255]])))


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_of_fewer_bits_is_as_light_as_it_was_meant(format: str) -> None:
    for values, light in (
        ([0, 8, 9, 2048, 4095], [0, 0, 1, 128, 255]),
        ([0, 8, 9, 2048, 4096], [0, 0, 0, 8, 16]),  # one value more: all 16 bits
        ([0, 1, 128, 200, 255], [0, 1, 128, 200, 255]),
        ([0, 1, 128, 200, 256], [0, 0, 32, 50, 64]),  # of 10 bits
        ([0, 1, 128, 200, 1024], [0, 0, 8, 12, 64]),
        ([0, 0, 0, 0, 0], [0, 0, 0, 0, 0]),
    ):
        pixels = decode(encoded(Image.fromarray(np.array([values], np.uint16)), format))
        assert np.array_equal(pixels, grey3(np.array([light])))


def test_sixteen_bit_colour_png() -> None:
    # Pillow cannot write it: built by hand. 0x8040 is 128 of 255.
    row = b"\0" + struct.pack(">3H", 0x8040, 0, 0xFFFF)
    assert np.array_equal(decode(png(1, 1, row, depth=16, colour=2)), [[[128, 0, 255]]])


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_sixteen_bit_colour_of_fewer_bits_is_as_light_as_it_was_meant(bits: int, alpha: bool) -> None:
    top = (1 << bits) - 1
    values = np.array([[0, top // 2, top], [top, 0, top // 3]])
    samples = np.hstack([values, [[65535], [65535]]]) if alpha else values
    data = png(2, 1, b"\0" + samples.astype(">u2").tobytes(), depth=16, colour=6 if alpha else 2)
    wanted = values * 255 / top if bits < 16 else values // 256
    assert np.abs(decode(data)[0] - wanted).max() <= 0.5


@pytest.mark.parametrize("alpha", [0, 4095, 65535])
def test_sixteen_bit_grey_with_alpha_of_twelve_bits_is_as_light_as_it_was_meant(alpha: int) -> None:
    values = np.array([0, 2047, 4095, 1365])
    pairs = np.stack([values, np.full(4, alpha)], axis=1)
    data = png(4, 1, b"\0" + pairs.astype(">u2").tobytes(), depth=16, colour=4)
    wanted = values * (255 / 4095) if alpha else np.full(4, 255)
    assert np.abs(decode(data)[0] - wanted[:, None]).max() <= 0.5
    samples = np.concatenate([np.repeat(pairs[:, :1], 3, axis=1), pairs[:, 1:]], axis=1)
    data = png(4, 1, b"\0" + samples.astype(">u2").tobytes(), depth=16, colour=6)
    assert np.abs(decode(data)[0] - wanted[:, None]).max() <= 0.5


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_alpha_of_as_few_bits_as_colour_is_as_opaque_as_it_was_meant(bits: int) -> None:
    top = (1 << bits) - 1
    samples = np.array([[top, 0, 0, top], [0, 0, 0, round(top * 0.4)]])
    data = png(2, 1, b"\0" + samples.astype(">u2").tobytes(), depth=16, colour=6)
    assert np.abs(decode(data)[0].astype(int) - [[255, 0, 0], [153, 153, 153]]).max() <= 1


def test_sixteen_bit_colour_tiff_of_twelve_bits() -> None:
    values = np.array([[[0, 2047, 4095], [4095, 0, 1365]]], np.uint16)
    for order in ("<", ">"):
        pixels = values.astype(f"{order}u2").tobytes()
        tags = [(256, 3, 1, 2), (257, 3, 1, 1), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 8),
                (277, 3, 1, 3), (278, 3, 1, 1), (279, 4, 1, 12)]  # fmt: skip
        data = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 26) + pixels
        place = 26 + 2 + 12 * len(tags) + 4
        data += bytes(26 - len(data)) + struct.pack(order + "H", len(tags))
        for tag, kind, count, value in tags:
            if tag == 258:
                data += struct.pack(order + "HHII", tag, kind, 3, place)
            elif kind == 3:
                data += struct.pack(order + "HHIHH", tag, kind, count, value, 0)
            else:
                data += struct.pack(order + "HHII", tag, kind, count, value)
        data += bytes(4) + struct.pack(order + "3H", 16, 16, 16)
        assert np.abs(decode(data) - values * (255 / 4095)).max() <= 0.5


def bmp_with_alpha(rgba: np.ndarray) -> bytes:
    """A BMP whose header (BITMAPV4HEADER) names a mask for alpha; Pillow does not write such."""
    height, width = rgba.shape[:2]
    pixels = np.ascontiguousarray(rgba[::-1, :, [2, 1, 0, 3]]).tobytes()
    head = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, len(pixels), 0, 0, 0, 0)
    head += struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(pixels), 0, 0, 14 + len(head)) + head + pixels


def test_a_bmp_that_is_transparent_everywhere_is_opaque() -> None:
    clear, half = np.dstack([RGB, 0 * GREY]), np.dstack([RGB, GREY])
    assert np.array_equal(decode(bmp_with_alpha(clear)), RGB)
    assert np.array_equal(decode(bmp_with_alpha(half)), decode(encoded(half)))
    assert decode(encoded(clear)).min() == 255, "where transparency is meant, it is white"


def test_integers_and_floats_of_32_bits_are_scaled_by_what_their_values_fit() -> None:
    def of(values: list[float], kind: str) -> list[int]:
        image = Image.fromarray(np.array([values], np.int32 if kind == "I" else np.float32))
        return [int(v) for v in decode(encoded(image, "TIFF"))[0, :, 0]]

    assert of([0, 100, 255], "I") == [0, 100, 255]
    assert of([0, 256, 65535], "I") == [0, 1, 255]
    assert of([-100, 0, 100], "I") == [0, 128, 255]
    assert of([0, 0.5, 1], "F") == [0, 128, 255]
    assert of([0, 0.5, 200.2], "F") == [0, 0, 200]
    assert of([float("nan"), 65535, 257], "F") == [0, 255, 1]
    assert (
        of([3e38, -3e38, 0], "F") == [255, 0, 128]
        and of([7, 7, 7], "F") == [7, 7, 7]
        and of([-5, -5, -5], "F") == [0, 0, 0]
    )


def test_lab_becomes_rgb() -> None:
    white = decode(encoded(Image.new("LAB", (4, 4), (255, 128, 128)), "TIFF"))
    assert white.min() >= 250


# ---- upright


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_all_orientations_come_out_upright(format: str, orientation: int) -> None:
    upright = gradient(48, 32)
    # How a camera stores the upright picture under each orientation (EXIF 2.32): the inverse of what we do.
    stored = {
        1: lambda p: p, 2: lambda p: p[:, ::-1], 3: lambda p: p[::-1, ::-1], 4: lambda p: p[::-1],
        5: lambda p: p.transpose(1, 0, 2), 6: np.rot90, 7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
        8: lambda p: np.rot90(p, -1),
    }[orientation](upright)  # fmt: skip
    options = (
        {"lossless": True} if format == "WEBP" else {"quality": 95} if format in ("JPEG", "AVIF") else {}
    )
    data = with_orientation(np.ascontiguousarray(stored), orientation, format, **options)
    image, (width, height, *_) = decode_image(data)
    pixels = np.array(image)
    assert pixels.shape == upright.shape and (width, height) == (48, 32)
    assert np.abs(pixels.astype(int) - upright).mean() < 4


def test_heic_comes_out_upright() -> None:
    heif = pytest.importorskip("pillow_heif", reason="the extra 'heif' is not installed")
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.ascontiguousarray(np.rot90(RGB))
    file = heif.from_bytes("RGB", (stored.shape[1], stored.shape[0]), stored.tobytes())
    file[0].info["exif"] = exif.tobytes()
    stream = io.BytesIO()
    file.save(stream, quality=-1, chroma=444)
    image, (width, height, *_) = decode_image(stream.getvalue())
    assert (width, height) == (40, 30) and np.abs(np.asarray(image).astype(int) - RGB).max() <= 3


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"x" * 100])
def test_damaged_exif_does_not_cost_the_picture(exif: bytes) -> None:
    assert decode(encoded(RGB, "JPEG", exif=exif)).shape == RGB.shape


def test_an_orientation_out_of_range_is_none() -> None:
    assert np.array_equal(decode(with_orientation(RGB, 9, "PNG")), RGB)


# ---- draft


@pytest.mark.parametrize("orientation", [1, 6])
def test_draft_mode_reduces_only_what_is_much_larger_and_reports_the_full_size(orientation: int) -> None:
    data = with_orientation(gradient(803, 601), orientation, "JPEG")
    full = (803, 601) if orientation == 1 else (601, 803)
    shapes = {}
    for side in (None, 400, 150, 70, 30, 1):
        image, (width, height, *_) = decode_image(data, side=side)
        assert (width, height) == full
        assert min(image.size) >= min(601, 2 * (side or 601))
        shapes[side] = max(image.size)
    assert shapes == {None: 803, 400: 803, 150: 402, 70: 201, 30: 101, 1: 101}


def test_draft_mode_gives_nearly_the_same_reduced_picture() -> None:
    data = encoded(gradient(800, 600), "JPEG", quality=90)
    small = [np.array(decode_image(data, side=s)[0].resize((40, 30))).astype(int) for s in (None, 30)]
    assert np.abs(small[0] - small[1]).max() <= 3


# ---- guards


def png(width: int, height: int, rows: bytes = b"", depth: int = 8, colour: int = 2) -> bytes:
    """A PNG that claims what it is told to claim."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def bombs() -> dict[str, bytes]:
    gif = bytearray(encoded(RGB, "GIF"))
    gif[6:10] = struct.pack("<HH", 50000, 50000)
    bmp = bytearray(encoded(RGB, "BMP"))
    bmp[18:26] = struct.pack("<ii", 50000, 50000)
    jpeg = bytearray(encoded(RGB, "JPEG"))
    start = jpeg.index(b"\xff\xc0")
    jpeg[start + 5 : start + 9] = struct.pack(">HH", 50000, 50000)
    webp = (
        b"RIFF" + struct.pack("<I", 30) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff\xff\x00" * 2
    )
    lossless = (
        b"RIFF" + struct.pack("<I", 30) + b"WEBPVP8L" + struct.pack("<IBI", 10, 0x2F, 0x0FFFFFFF) + bytes(9)
    )
    tiff = encoded(RGB, "TIFF").replace(
        struct.pack("<HHII", 256, 4, 1, 40), struct.pack("<HHII", 256, 4, 1, 9999999)
    )
    return {"png": png(50000, 50000), "gif": bytes(gif), "bmp": bytes(bmp), "jpeg": bytes(jpeg), "webp": webp,
            "webp lossless": lossless, "tiff": tiff}  # fmt: skip


@pytest.mark.parametrize("name", bombs())
def test_a_bomb_is_refused_before_anything_is_allocated(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bombs()[name]
    # Pillow allocates its pixels in C, out of tracemalloc's sight, and only in load(): that must not be reached.
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("it was decoded"))
    tracemalloc.start()
    try:
        with pytest.raises(PictureError, match=r"\d+ x \d+ pixels are over the limit of 200 megapixels"):
            decode(data)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_the_megapixel_guard_is_ours_and_not_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    data = encoded(RGB)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(data))
    assert decode(data, guards=Guards(megapixels=0.0012)).shape == (30, 40, 3)
    with pytest.raises(PictureError, match=r"40 x 30 pixels are over the limit of 0\.0011 megapixels"):
        decode(data, guards=Guards(megapixels=0.0011))
    assert Image.MAX_IMAGE_PIXELS == 500


def test_the_byte_guard() -> None:
    with pytest.raises(PictureError, match=r"over the limit of 0\.0001 MB"):
        decode(encoded(RGB), guards=Guards(megabytes=0.0001))


def test_an_empty_file() -> None:
    with pytest.raises(PictureError, match="the file is empty"):
        decode(b"")


# ---- damage


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIC"])
def test_a_truncated_file_is_refused(format: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = heic(noise) if format == "HEIC" else encoded(noise, format)
    with pytest.raises(PictureError) as caught:
        decode(data[: int(len(data) * share)])
    assert str(caught.value) and "\n" not in str(caught.value)


def test_truncated_jpeg_and_png_are_called_cut_short() -> None:
    for format in ("JPEG", "PNG"):
        with pytest.raises(PictureError, match="cut short"):
            decode(encoded(gradient(200, 200), format)[:-200])


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"]), st.data())
def test_any_damage_gives_a_picture_or_a_picture_error(format: str, data: st.DataObject) -> None:
    content = bytearray(encoded(RGB, format))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert decode(bytes(content), guards=Guards(megapixels=5)).dtype == np.uint8
    except PictureError as error:
        assert str(error)


@settings(max_examples=50, deadline=None)
@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\xff\xd8\xff", b"GIF89a", b"BM", b"II*\0", b"\0\0\0\x20ftypheic"]),
)
def test_any_bytes_give_a_picture_error(tail: bytes, head: bytes) -> None:
    with pytest.raises(PictureError):
        decode(head + tail, guards=Guards(megapixels=1))


# ---- manners


def test_warnings_are_silenced_and_come_back_even_across_threads() -> None:
    noisy = encoded(RGB, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\xff\xff\0\x01")
    before = list(warnings.filters)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        threads = [threading.Thread(target=lambda: [decode(noisy) for _ in range(50)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [str(w.message) for w in heard] == []
        warnings.warn("still heard", stacklevel=1)
        assert len(heard) == 1
    assert list(warnings.filters) == before


def test_a_tiff_is_read_where_no_file_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container whose disk is read-only there is no temporary folder."""
    data = encoded(RGB, "TIFF", compression="tiff_lzw")
    wanted, before = decode(data), descriptors()

    def fails(*_: object, **__: object) -> None:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.TemporaryFile", fails)
    assert np.array_equal(decode(data), wanted)
    with pytest.raises(PictureError):
        decode(data[:-40])
    assert descriptors() == before


def descriptors() -> int:
    """How many are open, where the system tells."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir()) if sys.platform == "linux" else 0

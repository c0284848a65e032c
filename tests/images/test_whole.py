"""Whether a picture is whole is decided by its data: every pixel there, or refused."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image

from sightbook.errors import PictureError
from sightbook.images.pixels import jpeg
from sightbook.images.pixels.decode import Guards, decode, decode_image
from tests.images.pictures import encoded

END = b"\xff\xd9"


def busy(width: int = 320, height: int = 240) -> np.ndarray:
    """Smooth shapes and noise, so that a JPEG of it is some tens of kilobytes."""
    random = np.random.default_rng(7)
    small = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8))
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), float)
    return np.clip(smooth + random.normal(0, 12, (height, width, 1)), 0, 255).astype(np.uint8)


WAYS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "optimized": {"optimize": True},
    "restarts": {"restart_marker_rows": 1},
    "grey": {},
    "large": {"quality": 95},
}


def made(way: str) -> bytes:
    pixels = busy(640, 480) if way == "large" else busy()
    return encoded(pixels[..., 0] if way == "grey" else pixels, "JPEG", **WAYS[way])


@pytest.mark.parametrize("way", WAYS)
def test_a_jpeg_without_its_end_marker_is_taken_and_has_every_pixel(way: str) -> None:
    data = made(way)
    assert data.endswith(END)
    for given in (data[:-2], data[:-1], data[:-2] + bytes(3000)):
        assert np.array_equal(decode(given), decode(data))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.75, 0.95])
@pytest.mark.parametrize("after", [b"", END, bytes(5000), bytes(5000) + END, END + bytes(5000)], ids=range(5))
def test_a_jpeg_that_was_cut_is_refused_however_it_was_closed(way: str, share: float, after: bytes) -> None:
    data = made(way)
    cut = data[: int(len(data) * share)].rstrip(b"\xff")
    for side in (None, 40):
        with pytest.raises(PictureError, match=r"cut short|zeros"):
            decode(cut + after, side=side)


def test_a_jpeg_that_was_cut_where_an_interval_ends_is_refused() -> None:
    data = made("restarts")
    marker = data.index(b"\xff\xd5")
    for cut in (data[:marker], data[: marker + 2]):
        for after in (b"", END, bytes(900)):
            with pytest.raises(PictureError, match=r"cut short|zeros"):
                decode(cut + after)


@pytest.mark.parametrize("way", ["baseline", "restarts", "optimized", "large"])
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_hole_of_zeros_in_a_jpeg_is_refused(way: str, share: float) -> None:
    data = bytearray(made(way))
    start = int(len(data) * share)
    data[start : start + 2048] = bytes(2048)
    with pytest.raises(PictureError, match=r"zeros|missing"):
        decode(bytes(data))


def test_flat_pictures_whose_data_are_zeros_are_whole() -> None:
    picture = np.full((1200, 1600, 3), 255, np.uint8)
    picture[500:600, 700:900] = busy(200, 100)
    for grey in (False, True):
        for options in ({"optimize": True}, {"progressive": True}, {}):
            given = picture[..., 0] if grey else picture
            data = encoded(given, "JPEG", **options)
            assert np.abs(decode(data)[..., 0].astype(int) - picture[..., 0]).mean() < 2
    grey128 = encoded(np.full((300, 400, 3), 128, np.uint8), "JPEG")  # what libjpeg fills with
    assert np.abs(decode(grey128).astype(int) - 128).max() <= 1


def test_what_follows_a_jpeg_is_not_looked_at() -> None:
    data = made("baseline")
    for after in (b"a film" * 900, bytes(9000), data[: len(data) // 2] + END):
        assert np.array_equal(decode(data + after), decode(data))


def test_endless_scans_are_refused_before_they_are_decoded() -> None:
    data = made("progressive")
    first = jpeg.layout(data, whole=True)
    assert (
        first is not None
        and 5 < len(first.scans) < 20
        and not first.lacks_scans
        and first.end == len(data) - 2
    )
    last = data.rindex(b"\xff\xda")
    scan = data[last : last + 12]
    with pytest.raises(PictureError, match="more than 500 scans"):
        decode(data[:-2] + scan * 600 + END)


def test_what_is_in_memory_is_guarded_and_not_what_the_file_would_be_in_full() -> None:
    data = encoded(busy(800, 600), "JPEG")
    small, (width, height, *_) = decode_image(data, side=50, guards=Guards(megapixels=0.05))
    assert small.size == (200, 150) and (width, height) == (800, 600)
    with pytest.raises(PictureError, match="800 x 600 pixels are over"):
        decode(data, guards=Guards(megapixels=0.05))
    # All coefficients of a progressive one are held, however small it is asked for.
    with pytest.raises(PictureError, match="800 x 600 pixels are over"):
        decode(encoded(busy(800, 600), "JPEG", progressive=True), side=50, guards=Guards(megapixels=0.05))


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("PNG", {}),
        ("GIF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("WEBP", {"quality": 90}),
        ("WEBP", {"lossless": True}),
        ("AVIF", {"quality": 90}),
    ],
)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_other_formats_are_refused_cut_filled_and_holed(
    format: str, options: dict[str, object], share: float
) -> None:
    data = encoded(busy(), format, **options)
    whole, cut = decode(data), int(len(data) * share)
    with pytest.raises(PictureError):
        decode(data[:cut])
    if format != "TIFF":  # whose directory is at the end, and which has a hole below
        with pytest.raises(PictureError):
            decode(data[:cut] + bytes(len(data) - cut))
    hole = max(600, min(2048, len(data) // 10))
    with pytest.raises(PictureError):
        decode(data[:cut] + bytes(hole) + data[min(cut + hole, len(data) - 1) :])
    assert np.array_equal(decode(data), whole)


@pytest.mark.parametrize("share", [0.05, 0.08, 0.12, 0.2])
def test_a_webp_of_which_hardly_anything_was_copied_is_refused(share: float) -> None:
    data = encoded(busy(400, 320), "WEBP", quality=80)
    cut = int(len(data) * share)
    with pytest.raises(PictureError, match=r"zeros|damaged|cut short|cannot be decoded"):
        decode(data[:cut] + bytes(len(data) - cut))


def test_a_png_without_its_end_has_every_pixel() -> None:
    data = encoded(busy())
    assert np.array_equal(decode(data[:-12]), decode(data))
    assert np.array_equal(decode(data + bytes(5000)), decode(data))


def test_flat_webp_and_avif_are_whole() -> None:
    for format in ("WEBP", "AVIF"):
        for options in ({}, {"lossless": True} if format == "WEBP" else {"quality": 100}):
            data = encoded(np.full((2000, 3000, 3), 250, np.uint8), format, **options)
            assert np.abs(decode(data).astype(int) - 250).max() <= 2


def test_libtiff_speaks_in_the_reason_and_not_to_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(encoded(busy(), "TIFF", compression="tiff_lzw"))
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    with pytest.raises(PictureError, match=r"cannot be decoded \(decoder error -2: .*[a-z]{3}.*\)|cut short"):
        decode(bytes(data))
    tag = bytearray(encoded(busy(20, 20), "TIFF"))
    (at,) = struct.unpack_from("<I", tag, 4)
    struct.pack_into("<H", tag, at + 2, 65000)  # one it does not know
    with pytest.raises(PictureError):
        decode(bytes(tag))
    cut = encoded(busy(), "TIFF", compression="tiff_adobe_deflate")
    for end in range(len(cut) - 200, len(cut), 7):
        with pytest.raises(PictureError):
            decode(cut[:end])
    said = capfd.readouterr()
    assert said.out == said.err == ""


def test_a_busy_picture_on_a_flat_ground_is_whole_in_every_format() -> None:
    picture = np.full((1500, 2000, 3), 250, np.uint8)
    picture[600:840, 800:1120] = busy()
    for format, options in (("WEBP", {}), ("WEBP", {"lossless": True}), ("AVIF", {}), ("PNG", {}), ("GIF", {}),
                            ("TIFF", {"compression": "tiff_adobe_deflate"}), ("JPEG", {"optimize": True})):  # fmt: skip
        found = decode(encoded(picture, format, **options))
        assert np.abs(found.astype(int) - picture).mean() < 2

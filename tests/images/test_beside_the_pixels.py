"""What stands beside the pixels never costs a picture, nor memory."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from sightbook.errors import PictureError
from sightbook.images.pixels.decode import decode
from tests.images.pictures import encoded, gradient, with_orientation
from tests.images.test_colour import chunk, with_chunks

RGB = gradient(50, 40)
ANCILLARY = [b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"tIME", b"eXIf", b"acTL", b"fcTL",
             b"sBIT", b"bKGD", b"hIST", b"cICP", b"prIv"]  # fmt: skip


def test_a_png_with_megabytes_of_text_is_read_and_the_text_is_not_unpacked() -> None:
    packed = zlib.compress(bytes(300_000_000), 1)
    texts = [
        chunk(kind, b"parameters\0" + middle + packed)
        for kind, middle in ((b"zTXt", b"\0"), (b"iTXt", b"\1\0\0\0"))
    ]
    plain = chunk(b"tEXt", b"workflow\0" + b"x" * 3_000_000)
    profile = chunk(b"iCCP", b"p\0\0" + packed)
    data = with_chunks(encoded(RGB), *texts, plain, profile)
    tracemalloc.start()
    try:
        assert np.array_equal(decode(data), RGB)
        assert tracemalloc.get_traced_memory()[1] < 60_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ANCILLARY)
@pytest.mark.parametrize("damage", ["content", "checksum", "empty", "length", "type", "after"])
def test_a_damaged_ancillary_chunk_of_a_png_costs_nothing(kind: bytes, damage: str) -> None:
    body = bytes(range(60, 120))
    whole = bytearray(chunk(kind, body))
    if damage == "checksum":
        whole[-1] ^= 1
    if damage == "empty":
        whole = bytearray(chunk(kind, b""))
    if damage == "length":
        whole[3] ^= 0x55
    if damage == "type":
        whole[5] = 7
    data = with_chunks(encoded(RGB), bytes(whole))
    if damage == "after":  # between image data and end
        plain = encoded(RGB)
        data = plain[:-12] + bytes(whole[:-1]) + b"x" + plain[-12:]
    found = decode(data)
    if kind in (b"gAMA", b"cICP") and damage == "content":
        assert found.shape == RGB.shape
    else:
        assert np.array_equal(found, RGB)


def test_chunks_that_make_pixels_are_not_dispensable() -> None:
    image = Image.fromarray(RGB).quantize(8)
    data = bytearray(encoded(image, "PNG", transparency=2))
    for kind in (b"IHDR", b"PLTE", b"tRNS"):
        broken = bytearray(data)
        broken[broken.index(kind) + 5] ^= 1
        with pytest.raises(PictureError, match="header is damaged"):
            decode(bytes(broken))


def test_orientation_and_profile_of_a_png_are_kept() -> None:
    turned = with_orientation(RGB, 6, "PNG")
    assert decode(turned).shape == (50, 40, 3)
    hexed = Image.Exif()
    hexed[0x0112] = 6
    raw = hexed.tobytes()
    text = f"\nexif\n{len(raw):8}\n" + raw.hex()
    for body in (
        chunk(b"tEXt", b"Raw profile type exif\0" + text.encode()),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text.encode())),
        chunk(b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>'),
        chunk(b"eXIf", raw[6:] if raw.startswith(b"Exif") else raw),
    ):
        assert np.array_equal(decode(with_chunks(encoded(RGB), body)), np.rot90(RGB, -1))


@pytest.mark.parametrize("progressive", [False, True])
def test_damage_in_segments_of_a_jpeg_costs_nothing(progressive: bool) -> None:
    exif = Image.Exif()
    exif[0x010E] = "x" * 900
    data = encoded(
        RGB, "JPEG", exif=exif, icc_profile=b"p" * 5000, comment=b"c" * 300, progressive=progressive
    )
    plain = decode(encoded(RGB, "JPEG", progressive=progressive))
    start, stop = data.index(b"\xff\xe1"), data.index(b"\xff\xdb")
    random = np.random.default_rng(0)
    for _ in range(400):
        broken = bytearray(data)
        for _ in range(int(random.integers(1, 5))):
            broken[int(random.integers(start, stop))] = int(random.integers(256))
        assert np.array_equal(decode(bytes(broken)), plain)


def test_a_thumbnail_in_a_damaged_segment_is_not_the_picture() -> None:
    thumbnail = encoded(gradient(16, 12, 9), "JPEG")
    data = encoded(RGB, "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 8) + b"Exif\0\0" + thumbnail
    for length in (2, 8, 9, 300, 60_000):
        broken = segment[:2] + struct.pack(">H", length) + segment[4:]
        assert np.array_equal(decode(data[:2] + broken + data[2:]), decode(data))


@pytest.mark.parametrize("name", [b"EXIF", b"ICCP", b"XMP "])
def test_a_damaged_chunk_of_a_webp_costs_nothing(name: bytes) -> None:
    exif = Image.Exif()
    exif[0x010E] = "x" * 200
    data = encoded(RGB, "WEBP", lossless=True, exif=exif, icc_profile=b"p" * 200, xmp=b"<x/>" * 50)
    place = data.index(name)
    for at in (place + 4, place + 5, place + 6, place + 7, place + 8, place + 30):
        broken = bytearray(data)
        broken[at] ^= 0x55
        assert np.array_equal(decode(bytes(broken)), RGB)


def test_a_damaged_tag_of_a_tiff_costs_nothing() -> None:
    info = {270: "x" * 400, 305: "y" * 100, 306: "2020:01:01 00:00:00", 282: 72.0, 283: 72.0}
    data = encoded(RGB, "TIFF", tiffinfo=info, compression="tiff_lzw")
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    for place in range(at + 2, at + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from("<H", data, place)
        if tag in (270, 305, 306, 282, 283):
            for field in range(2, 12):
                broken = bytearray(data)
                broken[place + field] ^= 0xFF
                assert np.array_equal(decode(bytes(broken)), RGB), (tag, field)

"""TIFF of every order, sign and place of its numbers → the same picture."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from sightbook.errors import PictureError
from sightbook.images.pixels.decode import decode
from tests.images.pictures import gradient

GREY = np.array([[0, 51, 128, 255]], np.uint8)
RGB = gradient()
MINIMUM_IS_WHITE, MINIMUM_IS_BLACK, COLOURS, PALETTE = 0, 1, 2, 3
UNSIGNED, SIGNED, FLOAT = 1, 2, 3


def tiff(
    samples: np.ndarray,
    meaning: int = MINIMUM_IS_BLACK,
    *,
    order: str = "<",
    sign: int = UNSIGNED,
    deflated: bool = False,
    apart: bool = False,
    palette: np.ndarray | None = None,
) -> bytes:
    """A TIFF of samples (H, W) or (H, W, C), in one strip, or in one for each plane."""
    height, width = samples.shape[:2]
    channels = samples.shape[2] if samples.ndim == 3 else 1
    planes = [samples[..., i] for i in range(channels)] if apart else [samples]
    strips = [np.ascontiguousarray(each).astype(each.dtype.newbyteorder(order)).tobytes() for each in planes]
    strips = [zlib.compress(each) for each in strips] if deflated else strips
    data = (b"II*\0" if order == "<" else b"MM\0*") + bytes(4)

    def placed(kind: str, values: list[int]) -> tuple[int, int, bytes]:
        nonlocal data
        packed = struct.pack(f"{order}{len(values)}{kind}", *values)
        if len(packed) > 4:
            place, data = len(data), data + packed + bytes(len(packed) % 2)
            packed = struct.pack(order + "I", place)
        return {"H": 3, "I": 4}[kind], len(values), packed.ljust(4, b"\0")

    places = []
    for strip in strips:
        places.append(len(data))
        data += strip + bytes(len(strip) % 2)
    tags = {
        256: placed("H", [width]),
        257: placed("H", [height]),
        258: placed("H", [samples.dtype.itemsize * 8] * channels),
        259: placed("H", [8 if deflated else 1]),
        262: placed("H", [meaning]),
        273: placed("I", places),
        277: placed("H", [channels]),
        278: placed("H", [height]),
        279: placed("I", [len(strip) for strip in strips]),
        284: placed("H", [2 if apart else 1]),
        339: placed("H", [sign] * channels),
    }
    if palette is not None:
        tags[320] = placed("H", palette.T.ravel().tolist())
    directory = struct.pack(order + "H", len(tags))
    for tag, (kind, count, value) in sorted(tags.items()):
        directory += struct.pack(order + "HHI", tag, kind, count) + value
    return data[:4] + struct.pack(order + "I", len(data)) + data[8:] + directory + bytes(4)


def grey_of(data: bytes) -> list[int]:
    pixels = decode(data)
    assert (pixels == pixels[..., :1]).all()
    return pixels[0, :, 0].tolist()


@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_grey_is_as_light_in_any_order_of_bytes(order: str, deflated: bool) -> None:
    wanted = GREY[0].tolist()
    for samples, sign in (
        (GREY.astype(np.uint16) * 257, UNSIGNED),
        (GREY.astype(np.int32) * 257, SIGNED),
        (GREY.astype(np.float32) / 255, FLOAT),
    ):
        assert grey_of(tiff(samples, order=order, sign=sign, deflated=deflated)) == wanted


@pytest.mark.parametrize("deflated", [False, True])
def test_where_the_least_number_is_white_the_picture_is_turned(deflated: bool) -> None:
    wanted = GREY[0].tolist()
    for samples, sign in (
        (255 - GREY, UNSIGNED),
        (65535 - GREY.astype(np.uint16) * 257, UNSIGNED),
        (4095 - np.round(GREY * (4095 / 255)).astype(np.uint16), UNSIGNED),
        (1 - GREY.astype(np.float32) / 255, FLOAT),
    ):
        assert grey_of(tiff(samples, MINIMUM_IS_WHITE, sign=sign, deflated=deflated)) == wanted


@pytest.mark.parametrize("deflated", [False, True])
def test_numbers_have_the_sign_that_the_file_gives_them(deflated: bool) -> None:
    whole = GREY.astype(np.uint32) * 0x01010101
    assert grey_of(tiff(whole, deflated=deflated)) == GREY[0].tolist(), "above half of 32 bits is light"
    signed = np.array([[0, 16384, 32767]], np.int16)
    assert grey_of(tiff(signed, sign=SIGNED, deflated=deflated)) == [0, 128, 255]
    around = np.array([[-128, 0, 127]], np.int8)
    assert grey_of(tiff(around, sign=SIGNED, deflated=deflated)) == [0, 128, 255]


@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_planes_of_sixteen_bits_are_the_picture(order: str, deflated: bool) -> None:
    samples = RGB.astype(np.uint16) * 257
    data = tiff(samples, COLOURS, order=order, deflated=deflated, apart=True)
    assert np.array_equal(decode(data), RGB)


@pytest.mark.parametrize("order", ["<", ">"])
def test_planes_of_twelve_bits_are_as_light_as_they_were_meant(order: str) -> None:
    samples = np.round(RGB * (4095 / 255)).astype(np.uint16)
    assert np.array_equal(decode(tiff(samples, COLOURS, order=order, apart=True)), RGB)


def test_a_palette_of_eight_bits_is_not_black() -> None:
    colours = np.zeros((256, 3), np.uint16)
    colours[:4] = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30]]
    for palette in (colours, colours * 257):
        pixels = decode(tiff(np.array([[0, 1, 2, 3]], np.uint8), PALETTE, palette=palette))
        assert np.array_equal(pixels[0], colours[:4])


def test_a_kind_of_numbers_that_is_not_read_is_not_called_damage() -> None:
    with pytest.raises(PictureError, match=r"^it cannot be decoded \(unknown pixel mode\)$"):
        decode(tiff(GREY.astype(np.float64), sign=FLOAT))

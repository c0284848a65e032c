"""Colours of any profile → sRGB."""

from __future__ import annotations

import io
import itertools
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from sightbook.images.pixels.colour import differs_from_srgb, from_code_points, from_gamma, to_srgb
from sightbook.images.pixels.decode import decode
from sightbook.images.pixels.png import SIGNATURE
from tests.images.pictures import encoded, gradient

RGB = gradient(60, 40, 3)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
P3 = from_code_points(12, 13)
ADOBE_XY = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
P3_XY = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
SRGB_XY = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))


def adobe() -> bytes:
    profile = from_gamma(256 / 563, (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06))
    assert profile is not None
    return profile


def light(values: np.ndarray) -> np.ndarray:
    v = values / 255
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def levels(values: np.ndarray) -> np.ndarray:
    v = np.clip(values, 0, 1)
    return 255 * np.where(v <= 0.0031308, v * 12.92, 1.055 * v ** (1 / 2.4) - 0.055)


def matrix(primaries: tuple[tuple[float, float], ...]) -> np.ndarray:
    """Linear RGB → XYZ by its definition, white D65."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    white = np.array([0.3127 / 0.329, 1, (1 - 0.3127 - 0.329) / 0.329])
    return columns * np.linalg.solve(columns, white)


def converted(rgb: np.ndarray, primaries: tuple[tuple[float, float], ...], linear: np.ndarray) -> np.ndarray:
    """What numbers of another space are in sRGB: the slow definition."""
    return levels(linear @ (np.linalg.inv(matrix(SRGB_XY)) @ matrix(primaries)).T)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunks(data: bytes, *chunks: bytes) -> bytes:
    """A PNG with chunks after its header."""
    assert data.startswith(SIGNATURE)
    return data[:33] + b"".join(chunks) + data[33:]


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("space", ["P3", "Adobe"])
def test_wide_colours_become_those_of_srgb(format: str, space: str) -> None:
    profile = P3 if space == "P3" else adobe()
    assert profile is not None
    options = (
        {"lossless": True} if format == "WEBP" else {"quality": 95} if format in ("JPEG", "AVIF") else {}
    )
    found = decode(encoded(RGB, format, icc_profile=profile, **options))
    plain = decode(encoded(RGB, format, **options)).astype(float)
    linear = light(plain) if space == "P3" else (plain / 255) ** (563 / 256)
    wanted = converted(plain, P3_XY if space == "P3" else ADOBE_XY, linear)
    assert np.abs(found - wanted).max() <= 3
    assert np.abs(found - plain).max() > 20


def test_heic_states_its_colours_by_profile_or_by_code_points() -> None:
    heif = pytest.importorskip("pillow_heif", reason="the extra 'heif' is not installed")

    def made(**options: object) -> bytes:
        stream = io.BytesIO()
        heif.from_pillow(Image.fromarray(RGB)).save(stream, quality=-1, chroma=444, **options)
        return stream.getvalue()

    wanted = converted(RGB, P3_XY, light(RGB))
    for data in (
        made(icc_profile=P3),
        made(color_primaries=12, transfer_characteristics=13, save_nclx_profile=True),
    ):
        assert np.abs(decode(data) - wanted).mean() < 1
    assert np.abs(decode(made()).astype(int) - RGB).max() <= 3


def test_avif_states_its_colours_by_code_points() -> None:
    plain = encoded(RGB, "AVIF", quality=100, subsampling="4:4:4")
    place = plain.index(b"colrnclx") + 8
    wide = plain[:place] + struct.pack(">H", 12) + plain[place + 2 :]
    wanted = converted(RGB, P3_XY, light(decode(plain)))
    assert np.abs(decode(wide) - wanted).max() <= 3


def test_png_states_its_colours_in_four_ways() -> None:
    data = encoded(RGB)
    wide = converted(RGB, P3_XY, light(RGB))
    p3 = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
    rec709 = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
    gamma, linear = struct.pack(">I", 45455), struct.pack(">I", 100_000)
    icc = b"p\0\0" + zlib.compress(P3 or b"")

    def seen(*chunks: bytes) -> np.ndarray:
        return decode(with_chunks(data, *chunks)).astype(float)

    by_gamma = converted(RGB, P3_XY, (RGB / 255) ** (1 / 0.45455))
    assert np.abs(seen(chunk(b"gAMA", gamma), chunk(b"cHRM", p3)) - by_gamma).max() <= 3
    for chunks in (
        (chunk(b"cICP", bytes([12, 13, 0, 1])),),
        (chunk(b"iCCP", icc),),
        (chunk(b"cICP", bytes([12, 13, 0, 1])), chunk(b"sRGB", b"\0"), chunk(b"gAMA", linear)),
    ):
        assert np.abs(seen(*chunks) - wide).max() <= 2
    assert np.abs(seen(chunk(b"gAMA", linear)) - levels(RGB / 255)).max() <= 1
    # sRGB, said in all these ways, is left as it is; so is what says nothing (cHRM alone, a gamma that nobody meant).
    for chunks in (
        (chunk(b"sRGB", b"\0"), chunk(b"gAMA", linear)),
        (chunk(b"gAMA", gamma), chunk(b"cHRM", rec709)),
        (chunk(b"gAMA", gamma),),
        (chunk(b"cHRM", p3),),
        (chunk(b"gAMA", struct.pack(">I", 1)),),
        (chunk(b"gAMA", b"\xff\xff\xff\xff"),),
        (chunk(b"cICP", bytes([1, 13, 0, 1])),),
        (chunk(b"iCCP", b"p\0\0" + zlib.compress(SRGB)),),
    ):
        assert np.array_equal(seen(*chunks), RGB)


def test_a_picture_of_a_camera_set_to_adobe_rgb_says_so_in_exif_alone() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 0xFFFF
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    data = encoded(RGB, "JPEG", quality=95, exif=exif)
    plain = decode(encoded(RGB, "JPEG", quality=95)).astype(float)
    assert b"R03" in data
    assert np.abs(decode(data) - converted(plain, ADOBE_XY, (plain / 255) ** (563 / 256))).max() <= 3


def test_grey_and_ink_have_profiles_too(tmp_path: object) -> None:
    gamma = bytearray(from_gamma(1 / 1.8) or b"")
    gamma[16:20] = b"GRAY"  # its tags name kTRC instead of three curves
    grey_profile = bytes(gamma).replace(b"rTRC", b"kTRC")
    grey = RGB[..., 0]
    assert differs_from_srgb(grey_profile)
    found = decode(encoded(grey, "PNG", icc_profile=grey_profile))
    assert np.abs(found[..., 0] - levels((grey / 255) ** 1.8)).max() <= 2
    # A profile of three colours in a grey picture, as editors leave it there.
    assert np.abs(decode(encoded(grey, "JPEG", icc_profile=adobe())).astype(int).std(2)).max() <= 1
    # A profile of another kind than the picture says nothing.
    cmyk = Image.fromarray(RGB).convert("CMYK")
    assert np.array_equal(decode(encoded(cmyk, "TIFF", icc_profile=P3)), decode(encoded(cmyk, "TIFF")))


@pytest.mark.parametrize(  # with names: a profile holds the second it was made in
    "profile",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"x", id="one byte"),
        pytest.param(b"x" * 500, id="text"),
        pytest.param(SRGB[:200], id="cut"),
        pytest.param(bytes(128), id="zeros"),
        pytest.param(b"\0" * 36 + b"acsp" + b"\0" * 400, id="head alone"),
    ],
)
@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_broken_profile_is_ignored(format: str, profile: bytes) -> None:
    options = {"lossless": True} if format == "WEBP" else {}
    assert np.array_equal(
        decode(encoded(RGB, format, icc_profile=profile, **options)), decode(encoded(RGB, format, **options))
    )


def test_transparent_wide_colours_lie_on_white() -> None:
    alpha = np.full(RGB.shape[:2], 128, np.uint8)
    found = decode(encoded(np.dstack([RGB, alpha]), icc_profile=P3))
    share = 128 / 255
    wanted = converted(RGB, P3_XY, light(RGB)) * share + 255 * (1 - share)
    assert np.abs(found - wanted).max() <= 3


def test_high_dynamic_range_ends_at_the_white_of_paper() -> None:
    pq, hlg = from_code_points(9, 16), from_code_points(9, 18)
    grey = Image.fromarray(np.repeat(np.array([[[0], [148], [191], [255]]], np.uint8), 3, 2))
    assert [v for v, _, _ in np.asarray(to_srgb(grey, pq))[0].tolist()][::3] == [0, 255]
    white = np.asarray(to_srgb(grey, pq))[0, 1]  # 203 nits are .58 of PQ's scale
    assert white.min() >= 253
    assert np.asarray(to_srgb(grey, hlg))[0, 2].min() >= 253  # .75 of HLG's


def test_profiles_that_are_srgb_cost_no_conversion() -> None:
    assert not differs_from_srgb(SRGB) and not differs_from_srgb(None)
    assert differs_from_srgb(P3) and differs_from_srgb(adobe())
    image = Image.fromarray(RGB)
    assert np.array_equal(to_srgb(image, SRGB), RGB)
    assert (
        from_code_points(1, 13) is None
        and from_code_points(2, 2) is None
        and from_code_points(99, 13) is None
    )


def test_a_damaged_byte_in_a_profile_called_srgb_changes_nothing() -> None:
    assert b"sRGB" in SRGB or "sRGB".encode("utf-16-be") in SRGB
    random = np.random.default_rng(0)
    for _ in range(300):
        broken = bytearray(SRGB)
        broken[int(random.integers(len(broken)))] ^= 1 << int(random.integers(8))
        assert np.array_equal(to_srgb(Image.fromarray(RGB), bytes(broken)), RGB)


def ink_profile(cyan: tuple[float, float, float]) -> bytes:
    """A profile of inks (ICC.1:2001, lut8) under which full cyan has this Lab and the others darken."""
    corners = []
    for c, m, y, k in itertools.product((0, 1), repeat=4):
        light = np.array(cyan) if c else np.array([100.0, 0, 0])
        corners.append(light * (1 - k) * (1 - 0.25 * (m + y)))
    grid = bytes(round(v) for L, a, b in corners for v in (L * 2.55, a + 128, b + 128))
    ramp = bytes(range(256))
    one = 65536
    table = b"mft1" + bytes([0, 0, 0, 0, 4, 3, 2, 0]) + struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, one)
    white = struct.pack(">3i", 63190, one, 54061)  # D50
    parts = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"made\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"made\0",
        b"wtpt": b"XYZ " + bytes(4) + white,
        b"A2B0": table + 4 * ramp + grid + 3 * ramp,
    }
    listed, body, begin = struct.pack(">I", len(parts)), b"", 132 + 12 * len(parts)
    for name, part in parts.items():
        listed += name + struct.pack(">II", begin + len(body), len(part))
        body += part + bytes(-len(part) % 4)
    head = struct.pack(">I4sI", begin + len(body), b"lcms", 0x02400000) + b"prtrCMYKLab " + bytes(12)
    head += b"acsp" + bytes(28) + white
    return head + bytes(128 - len(head)) + listed + body


def srgb_of_lab(lab: tuple[float, float, float]) -> np.ndarray:
    """CIE 15 and IEC 61966-2-1, from D50 (Bradford)."""
    f = (lab[0] + 16) / 116
    xyz = np.array(
        [
            v**3 if v > 6 / 29 else 3 * (6 / 29) ** 2 * (v - 4 / 29)
            for v in (f + lab[1] / 500, f, f - lab[2] / 200)
        ]
    )
    xyz *= [0.9642, 1.0, 0.8249]
    matrix = [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ]
    light = np.clip(np.array(matrix) @ xyz, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("format", ["TIFF", "JPEG"])
def test_inks_have_the_colours_that_their_profile_gives_them(format: str) -> None:
    lab = (60.0, 40.0, 30.0)  # an ink called cyan that is red
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[:, 8:, 0] = 255
    image = Image.fromarray(ink, "CMYK")
    options = {"quality": 95, "subsampling": 0} if format == "JPEG" else {}
    with_profile = decode(encoded(image, format, icc_profile=ink_profile(lab), **options))
    assert np.abs(with_profile[4, 4].astype(int) - 255).max() <= 1
    assert np.abs(with_profile[4, 12] - srgb_of_lab(lab)).max() <= 4
    plain = decode(encoded(image, format, **options))
    assert np.abs(plain[4, 12].astype(int) - [0, 255, 255]).max() <= 2
    broken = decode(encoded(image, format, icc_profile=ink_profile(lab)[:700], **options))
    assert np.array_equal(broken, plain)

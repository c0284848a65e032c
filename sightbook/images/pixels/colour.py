"""Colours of any profile → sRGB, which is what encoders and screens take numbers for.

A picture says what its numbers mean by an ICC profile, by code points (cICP of PNG, nclx of HEIC and AVIF), by PNG's
gAMA and cHRM, or, as cameras do in Adobe RGB, by a letter in EXIF; without any of these it is sRGB. Whatever it is
becomes a profile, and LittleCMS applies it (relative colorimetric, black point compensated). A profile that differs
from sRGB by less than can be seen is left alone, so that ordinary photos cost one look-up.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# x, y of red, green, blue and white by the code points of ITU-T H.273, table 2.
_D65, _C, _DCI = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
Chromaticities = tuple[tuple[float, float], ...]
_SRGB: Chromaticities = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65)
_PRIMARIES: dict[int, Chromaticities] = {
    1: _SRGB,
    2: _SRGB,
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _DCI),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65),
}
_ADOBE: Chromaticities = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), _D65)
_ADOBE_GAMMA = 563 / 256
# Levels of 255 that nobody sees: profiles called sRGB differ by one.
_UNSEEN = 2
_NEAR = 30
_NAMES = (b"sRGB", "sRGB".encode("utf-16-be"))
_WHITE, _TINT = 250, 16
_MOST_BYTES = 16 << 20
# Of PNG: what is beyond makes any picture black or white, so nobody meant it.
_LEAST_GAMMA = 0.1
_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_CLASSES = {b"scnr", b"mntr", b"prtr", b"spac"}
_CURVE_POINTS = 1024
_NITS = 203  # of white in high dynamic range, ITU-R BT.2408


def profile_of(image: Image.Image) -> bytes | None:
    """The profile of a picture as Pillow tells it (and `decode` adds to it); None: sRGB."""
    info = image.info
    if (points := info.get("cicp")) is not None:
        return from_code_points(int(points[0]), int(points[1]))
    profile = info.get("icc_profile")
    if isinstance(profile, bytes) and profile:
        return profile
    if isinstance(points := info.get("nclx_profile"), dict):  # as pillow-heif tells it
        return from_code_points(
            int(points.get("color_primaries", 2)), int(points.get("transfer_characteristics", 2))
        )
    if "srgb" in info:
        return None
    if isinstance(gamma := info.get("gamma"), float | int) and _LEAST_GAMMA <= gamma <= 1 / _LEAST_GAMMA:
        return from_gamma(float(gamma), info.get("chromaticity"))
    exif = info.get("exif")
    # DCF 2.0: interoperability "R03" is Adobe RGB; cameras then embed no profile.
    if isinstance(exif, bytes) and b"R03\0" in exif and _is_adobe(image):
        return _made(_ADOBE, _ADOBE_GAMMA)
    return None


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """A picture of mode RGB, L or CMYK in the colours of `profile` → mode RGB, in sRGB. A profile that is broken or is
    not one of the picture's kind is ignored."""
    if profile is None or len(profile) > _MOST_BYTES:
        return image.convert("RGB")
    mode = _MODES.get(profile[16:20].decode("latin-1"), "") if profile[36:40] == b"acsp" else ""
    if mode == "RGB" and image.mode == "L":
        image = image.convert("RGB")
    if mode != image.mode:
        return image.convert("RGB")
    transform = _transform(profile, mode)
    if transform is None:
        return image.convert("RGB")
    converted = Image.new("RGB", image.size)
    transform.apply(image, converted)
    return converted


def differs_from_srgb(profile: bytes | None) -> bool:
    """Whether a profile of three colours, if it can be used, is another than sRGB."""
    if profile is None or len(profile) > _MOST_BYTES or profile[36:40] != b"acsp":
        return False
    mode = _MODES.get(profile[16:20].decode("latin-1"), "")
    return bool(mode) and _transform(profile, mode) is not None


def from_code_points(primaries: int, transfer: int) -> bytes | None:
    """The profile of two code points of ITU-T H.273; None for sRGB and for what they leave open."""
    chromaticities = _PRIMARIES.get(primaries)
    curve = _transfer(transfer)
    if chromaticities is None or (chromaticities == _SRGB and curve is None):
        return None
    return _made(chromaticities, curve)


def from_gamma(gamma: float, chromaticities: Any = None) -> bytes | None:
    """The profile of PNG's gAMA and cHRM (white, red, green, blue); None for sRGB, whose curve 1/2.2 stands for where
    the primaries are its own."""
    points = _SRGB
    if isinstance(chromaticities, tuple) and len(chromaticities) == 8:
        x = [float(value) for value in chromaticities]
        points = ((x[2], x[3]), (x[4], x[5]), (x[6], x[7]), (x[0], x[1]))
    if 0.44 < gamma < 0.47 and np.abs(np.subtract(points, _SRGB)).max() < 0.002:
        return None
    return _made(points, 1 / gamma)


def _is_adobe(image: Image.Image) -> bool:
    try:
        exif = image.getexif()
        return str(exif.get_ifd(0xA005).get(1, "")).startswith("R03")
    except Exception:  # whatever Pillow's parser lets out on hostile bytes, it tells nothing then
        return False


@lru_cache(maxsize=64)
def _transform(profile: bytes, mode: str) -> Any:
    """LittleCMS's transform to sRGB; None when the profile is broken, or is sRGB as far as can be seen."""
    from PIL import ImageCms  # with the first profile only: half a megabyte of tables

    if profile[12:16] not in _CLASSES:
        return None
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            # Without its one-pixel cache a transform may serve several threads.
            ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOCACHE,
        )
        sample = _sample(mode)
        if sample is None:
            return transform
        ramp, seen = _ramp(mode), Image.new("RGB", sample.size)
        transform.apply(sample, seen)
        transform.apply(ramp, grey := Image.new("RGB", ramp.size))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    if _is_absurd(np.asarray(grey, np.int16)[0]):
        return None
    apart = np.abs(np.asarray(seen, np.int16) - np.asarray(sample.convert("RGB"), np.int16))
    # One that calls itself so and is near it: a damaged byte, or its maker's rounding.
    is_srgb = any(name in profile for name in _NAMES) and apart.mean() < _NEAR
    return None if is_srgb or apart.max() <= _UNSEEN else transform


def _ramp(mode: str) -> Image.Image:
    """All greys, from black to white."""
    return Image.fromarray(np.arange(256, dtype=np.uint8)[None]).convert(mode)


def _is_absurd(greys: NDArray[np.int16]) -> bool:
    """Whether a profile, which a damaged byte may leave readable, makes of greys (256, 3) from black to white what none
    does: white that is none, colours, or a lighter one that becomes darker."""
    return bool(
        greys[-1].min() < _WHITE or np.ptp(greys, axis=1).max() > _TINT or np.diff(greys, axis=0).min() < -1
    )


def _sample(mode: str) -> Image.Image | None:
    """Colours from all over the cube, to tell whether a profile changes any; None: it always does."""
    if mode == "CMYK":
        return None
    steps = np.linspace(0, 255, 256 if mode == "L" else 18).round().astype(np.uint8)
    if mode == "L":
        return Image.fromarray(steps[None])
    cube = np.stack(np.meshgrid(steps, steps, steps), -1)
    return Image.fromarray(np.ascontiguousarray(cube.reshape(len(steps), -1, 3)))


def _transfer(code: int) -> NDArray[Any] | float | None:
    """How values become light, as a gamma or as a table of light by value; None: as in sRGB. Television's curve (1, 6,
    14, 15) is taken as that of sRGB, as screens show it. High dynamic range is shown as on a screen whose brightest
    white is that of paper."""
    value = np.linspace(0, 1, _CURVE_POINTS)
    if code == 4:
        return 2.2
    if code == 5:
        return 2.8
    if code == 8:
        return 1.0
    if code == 16:  # SMPTE ST 2084
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        power = value ** (1 / m2)
        light: NDArray[Any] = (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1) * 10_000 / _NITS
        return light.clip(max=1)
    if code == 18:  # hybrid log-gamma: paper's white is at three quarters, ITU-R BT.2408
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(value <= 0.5, value**2 * 4, np.exp((value - c) / a) + b) / (
            np.exp((0.75 - c) / a) + b
        )
        return light.clip(max=1)
    return None


def _made(chromaticities: Chromaticities, curve: NDArray[Any] | float | None) -> bytes | None:
    if curve is None:
        value = np.linspace(0, 1, _CURVE_POINTS)
        curve = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    table = (curve,) if isinstance(curve, float) else tuple(np.rint(curve * 65535).astype(int).tolist())
    return _matrix_profile(chromaticities, table)


@lru_cache(maxsize=16)
def _matrix_profile(chromaticities: Chromaticities, curve: tuple[float | int, ...]) -> bytes | None:
    """An ICC profile (version 2) of three primaries and one curve: a gamma, or 16-bit light by value. None when the
    primaries span nothing."""
    red, green, blue, white = (_xyz(x, y) for x, y in chromaticities)
    try:
        columns = np.stack([red, green, blue], 1)
        columns = columns * np.linalg.solve(columns, white)
    except np.linalg.LinAlgError:
        return None
    d50 = np.array([0.9642, 1.0, 0.8249])
    cone = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )  # Bradford
    adapted = np.linalg.inv(cone) @ np.diag((cone @ d50) / (cone @ white)) @ cone @ columns
    if not np.isfinite(adapted).all() or np.abs(adapted).max() > 10:
        return None
    if len(curve) == 1:
        if not 0 < curve[0] < 256:
            return None
        trc = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(curve[0] * 256))
    else:
        trc = b"curv\0\0\0\0" + struct.pack(f">I{len(curve)}H", len(curve), *curve)
    tags = [(name, _xyz_tag(adapted[:, place])) for place, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))]
    tags += [(b"wtpt", _xyz_tag(d50)), (b"rTRC", trc), (b"gTRC", trc), (b"bTRC", trc)]
    start, directory, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, content in tags:
        directory += struct.pack(">4sII", name, start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = bytearray(128)
    head[8:12] = b"\2\x40\0\0"
    head[12:24] = b"mntrRGB XYZ "
    head[36:40] = b"acsp"
    head[68:80] = struct.pack(">3i", *(round(value * 65536) for value in d50))
    whole = bytes(head) + struct.pack(">I", len(tags)) + directory + body
    return struct.pack(">I", len(whole)) + whole[4:]


def _xyz(x: float, y: float) -> NDArray[np.float64]:
    y = y or 1e-9
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _xyz_tag(values: Sequence[float] | NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(float(value) * 65536) for value in values))

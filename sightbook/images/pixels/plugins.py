"""Pillow's plugins, called directly instead of through `Image.open`: so only the formats named here can be reached (no
PostScript, no fonts), our own size guard stands before any allocation, and neither Pillow's global limits nor its
registry are touched for others in the same process."""

from __future__ import annotations

import struct
from collections.abc import Callable
from io import BytesIO
from typing import Any

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from sightbook.errors import MissingExtra, PictureError
from sightbook.images.pixels import boxes, png
from sightbook.images.pixels.guards import Guards

_HEIC_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"}
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"mif1", b"msf1", b"miaf"}  # the container; the compatible brands say what is in it
# Little and big endian, and both for BigTIFF.
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_Accept = Callable[[bytes], bool]
_Factory = Callable[[BytesIO, str], Any]
_PLUGINS: tuple[tuple[str, _Accept, _Factory], ...] = (
    ("JPEG", lambda start: start.startswith(b"\xff\xd8"), JpegImagePlugin.JpegImageFile),
    ("PNG", lambda start: start.startswith(b"\x89PNG\r\n\x1a\n"), PngImagePlugin.PngImageFile),
    ("WebP", lambda start: start[:4] == b"RIFF" and start[8:12] == b"WEBP", WebPImagePlugin.WebPImageFile),
    ("GIF", lambda start: start.startswith((b"GIF87a", b"GIF89a")), GifImagePlugin.GifImageFile),
    ("BMP", lambda start: start.startswith(b"BM"), BmpImagePlugin.BmpImageFile),
    ("TIFF", lambda start: start.startswith(_TIFF_MAGIC), TiffImagePlugin.TiffImageFile),
)


def format_of(data: bytes) -> str:
    """The format that the bytes begin as; "" for none that is read here."""
    if data[4:8] == b"ftyp":
        return "HEIF"
    return next((name for name, accept, _ in _PLUGINS if accept(data[:16])), "")


def open_picture(data: bytes, guards: Guards) -> Image.Image:
    """The picture with its header read and nothing decoded; its content decides its format, not its name."""
    kind = format_of(data)
    if kind == "HEIF":
        image = _open_heif(data)
        if not image.info.get("icc_profile") and (points := boxes.code_points(data)):
            image.info["cicp"] = points
        return image
    if kind == "WebP":
        # libwebp allocates the canvas while opening, so its size is looked at before.
        guards.check_size(*_webp_size(data))
    info: dict[Any, Any] = {}
    if kind == "PNG":
        data, info = png.strip(data)
    for plugin, _, factory in _PLUGINS:
        if plugin == kind:
            try:
                opened: Image.Image = factory(BytesIO(data), "")
            except (IndexError, KeyError, TypeError, struct.error) as error:
                raise SyntaxError(f"its {plugin} header is damaged") from error
            opened.info.update(info)
            return opened
    raise PictureError("it is not a picture of a known format")


def _open_heif(data: bytes) -> Image.Image:
    """HEIC, HEIF and AVIF share a container whose brands tell what is in it."""
    length = min(int.from_bytes(data[:4], "big"), len(data), 256)
    brands = {data[8:12], *(data[start : start + 4] for start in range(16, length, 4))}
    if brands & _AVIF_BRANDS and AvifImagePlugin.SUPPORTED:
        image: Image.Image = AvifImagePlugin.AvifImageFile(BytesIO(data), "")
        return image
    if not brands & (_HEIC_BRANDS | _AVIF_BRANDS | _HEIF_BRANDS):
        raise PictureError("it is not a picture of a known format")
    what = "an AVIF picture" if brands & _AVIF_BRANDS else "a HEIC picture"
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise MissingExtra(what, "heif") from error
    found: Image.Image = HeifImageFile(BytesIO(data), "")
    return found


def _webp_size(data: bytes) -> tuple[int, int]:
    """The canvas from the header (RFC 9649, sections 2.5 to 2.7)."""
    kind, body = data[12:16], data[20:30]
    if len(body) < 10:
        raise PictureError("the file is cut short")
    if kind == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF

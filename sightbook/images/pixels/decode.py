"""Bytes of a picture file → RGB, safely: any mode, upright, in sRGB, first frame, and nothing a file says is believed
blindly. `picture.read_picture` takes everything that is a picture and comes here with the bytes.

Pillow's plugins are called directly instead of through `Image.open`: so only the formats named here can be reached (no
PostScript, no fonts), our own size guard stands before any allocation, and neither Pillow's global limits nor its
registry are touched for others in the same process.

What stands beside the pixels never costs a picture: a PNG is read without it, other formats a second time without it
when they fail.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
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
from sightbook.images.pixels import boxes, jpeg, png, riff, sixteen, tiff, zeros
from sightbook.images.pixels.about import About, tell
from sightbook.images.pixels.guards import Guards, limits
from sightbook.images.pixels.quiet import heard, quiet
from sightbook.images.pixels.rgb import to_rgb

__all__ = ["Guards", "decode", "decode_image", "limits", "measure"]

# EXIF 2.32, tag 0x0112: what brings a picture stored with orientation n upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_KEEPING = (
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.ROTATE_180,
    Image.Transpose.FLIP_TOP_BOTTOM,
)
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
# A JPEG is decoded at 1/2, 1/4 or 1/8 only while its shorter side stays twice what is asked for: the antialiased
# resize after it then gives nearly the picture of the full decode.
DRAFT_GAP = 2


def decode(data: bytes, *, side: int | None = None, guards: Guards | None = None) -> NDArray[np.uint8]:
    """Decodes a picture to (H, W, 3) uint8 RGB, upright, in sRGB, first frame, transparency on white.

    With `side` the shorter side is known to be reduced to `side` afterwards: a much larger JPEG is then decoded at
    1/2, 1/4 or 1/8 (draft mode). guards: those of the environment, unless given. Raises PictureError with a short
    reason without the file's name.
    """
    image, _ = decode_image(data, side=side, guards=guards)
    return np.array(image)


def decode_image(
    data: bytes, *, side: int | None = None, guards: Guards | None = None
) -> tuple[Image.Image, About]:
    """`decode` as a Pillow picture of mode RGB, with what the file tells about itself."""
    guards = guards or limits()
    if not data:
        raise PictureError("the file is empty")
    guards.check_bytes(len(data))
    with quiet():
        try:
            image, width, height = _loaded(data, side, guards)
            return upright(image, width, height, image.format or _format(data))
        except Exception as error:
            raise explained(error) from error


def measure(data: bytes, *, guards: Guards | None = None) -> tuple[int, int]:
    """Width and height of a picture as its file stores it, from the header alone. Raises PictureError like `decode`."""
    guards = guards or limits()
    with quiet():
        try:
            image = _opened(data, guards)
            if not isinstance(image, JpegImagePlugin.JpegImageFile):  # which may be decoded in part
                guards.check_size(*image.size)
        except Exception as error:
            raise explained(error) from error
    return image.size


def is_known(data: bytes) -> bool:
    """Whether the bytes begin as a format does that is read here."""
    return bool(_format(data))


def upright(image: Image.Image, width: int, height: int, format: str | None) -> tuple[Image.Image, About]:
    """A loaded picture in RGB as its EXIF turns it, and what it tells, its full size turned likewise."""
    about = tell(image, width, height, None if format is None else format.lower())
    turn = _UPRIGHT.get(about.orientation or 1)
    rgb = to_rgb(image)
    if turn is None:
        return rgb, about
    turned = rgb.transpose(turn)
    return turned, about if turn in _KEEPING else about._replace(width=height, height=width)


def explained(error: Exception) -> PictureError:
    """The PictureError of what a plugin let out: of any type, on hostile bytes, and each means that this picture is
    unreadable."""
    if isinstance(error, PictureError):
        return error
    if isinstance(error, MissingExtra):
        return PictureError(str(error))
    if isinstance(error, MemoryError):
        return PictureError("there is not enough memory to decode it")
    return PictureError(_reason(error))


def draft_scale(width: int, height: int, side: int) -> int:
    """By how much a JPEG is reduced while it is decoded, when its shorter side becomes `side` afterwards."""
    room = min(width, height) // (side * DRAFT_GAP)
    return next(scale for scale in (8, 4, 2, 1) if room >= scale or scale == 1)


def _loaded(data: bytes, side: int | None, guards: Guards) -> tuple[Image.Image, int, int]:
    """The picture with its pixels, as stored, and its full width and height."""
    kind = _format(data)
    if kind == "JPEG":
        return _loaded_jpeg(data, side, guards)
    try:
        image = _pixels(data, kind, guards)
    except PictureError:
        raise
    except Exception:
        bare = {"WebP": riff.strip, "TIFF": tiff.strip}.get(kind, lambda _: None)(data)
        if bare is None:
            raise
        image = _pixels(bare, kind, guards)
    if kind in ("WebP", "HEIF"):
        zeros.check(data, kind, image, lambda other: _or_none(lambda: _pixels(other, kind, guards)))
    return image, *image.size


def _pixels(data: bytes, kind: str, guards: Guards) -> Image.Image:
    image = _opened(data, guards)
    guards.check_size(*image.size)
    raw = sixteen.rawmode(image)
    if kind == "TIFF":
        # libtiff, which prints its troubles; Pillow then knows a number.
        said: list[str] = []
        try:
            with heard(b"tempfile.tif") as said:
                image.load()
        except OSError as error:
            raise OSError(f"{error}: {said[-1]}" if said else str(error)) from error
        tiff.check_deflated(data, getattr(image, "tag_v2", {}))
    else:
        image.load()
    guards.check_size(*image.size)  # HEIF and TIFF may turn the picture while they load it
    if kind == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        return image.convert("RGB")  # its writer did not mean the fourth byte
    return sixteen.brightened(image, raw, lambda: _opened(data, guards))


def _loaded_jpeg(data: bytes, side: int | None, guards: Guards) -> tuple[Image.Image, int, int]:
    found = jpeg.layout(data, whole=False)
    if (found is None or not found.sound) and (bare := jpeg.strip(data)) is not None:
        data, found = bare, jpeg.layout(bare, whole=False)
    if found is not None and found.in_passes:
        found = jpeg.layout(data, whole=True)

    def pixels(data: bytes) -> tuple[Image.Image, int, int]:
        image = _opened(data, guards)
        width, height = image.size
        if side is not None:
            image.draft(None, (side * DRAFT_GAP, side * DRAFT_GAP))
        if found is not None and found.in_passes:  # all coefficients are held, whatever comes of them
            guards.check_size(width, height)
        guards.check_size(*image.size)
        image.load()
        return image, width, height

    def same(other: bytes) -> bool:
        """Whether other bytes give the same pixels."""
        made = _or_none(lambda: pixels(other)[0])
        return made is not None and made.tobytes() == image.tobytes()

    def is_flat(other: bytes) -> bool:
        """Whether the picture is flat in the first blocks that other bytes change."""
        made = _or_none(lambda: pixels(other)[0])
        block = max(1, 8 * image.width // width)
        return made is not None and zeros.is_flat_where_they_part(image, made, (0, block, 0, 8 * block))

    unfinished = None if found is None else jpeg.closed(data, found)
    image, width, height = pixels(data if unfinished is None else unfinished[0])
    if unfinished is None:
        jpeg.check_whole(data, found, _corner(image), same, is_flat)
    elif not all(map(same, unfinished[1])):
        raise PictureError("the file is cut short: a part of the picture is missing")
    return image, width, height


def _or_none(decoded: Callable[[], Image.Image]) -> Image.Image | None:
    try:
        return decoded()
    except Exception:  # as in `explained`
        return None


def _corner(image: Image.Image) -> tuple[int, ...]:
    value: Any = image.getpixel((image.width - 1, image.height - 1))
    return value if isinstance(value, tuple) else (int(value),)


def _format(data: bytes) -> str:
    if data[4:8] == b"ftyp":
        return "HEIF"
    return next((name for name, accept, _ in _PLUGINS if accept(data[:16])), "")


def _opened(data: bytes, guards: Guards) -> Image.Image:
    """The picture with its header read and nothing decoded; its content decides its format, not its name."""
    kind = _format(data)
    if kind == "HEIF":
        image = _opened_heif(data)
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


def _opened_heif(data: bytes) -> Image.Image:
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


def _reason(error: Exception) -> str:
    """A short plain reason for what a plugin said."""
    text = str(error).strip().partition("\n")[0].rstrip(".")
    lowered = text.lower()
    if isinstance(error, (EOFError, struct.error)) or any(sign in lowered for sign in _CUT_SHORT):
        return "the file is cut short or damaged"
    if isinstance(error, SyntaxError):
        return f"the file is damaged ({text})" if text else "the file is damaged"
    return f"it cannot be decoded ({text or type(error).__name__})"


_CUT_SHORT = ("truncated", "end of file", "unexpected end", "eof", "not enough data", "incomplete")

"""Bytes of a picture file → RGB, safely: any mode, upright, first frame, and nothing a file says is believed blindly.

Pillow's plugins are called directly instead of through `Image.open`: so only the formats named here can be reached (no
PostScript, no fonts), our own size guard stands before any allocation, and neither Pillow's global limits nor its
registry are touched for others in the same process.
"""

from __future__ import annotations

import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
from sightbook.images.rgb import to_rgb

_ORIENTATION = 0x0112
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
    ("JPEG", lambda start: start.startswith(b"\xff\xd8\xff"), JpegImagePlugin.jpeg_factory),
    ("PNG", lambda start: start.startswith(b"\x89PNG\r\n\x1a\n"), PngImagePlugin.PngImageFile),
    ("WebP", lambda start: start[:4] == b"RIFF" and start[8:12] == b"WEBP", WebPImagePlugin.WebPImageFile),
    ("GIF", lambda start: start.startswith((b"GIF87a", b"GIF89a")), GifImagePlugin.GifImageFile),
    ("BMP", lambda start: start.startswith(b"BM"), BmpImagePlugin.BmpImageFile),
    ("TIFF", lambda start: start.startswith(_TIFF_MAGIC), TiffImagePlugin.TiffImageFile),
)
# A JPEG is decoded at 1/2, 1/4 or 1/8 only while its shorter side stays twice what is asked for: the antialiased
# resize after it then gives nearly the picture of the full decode.
_DRAFT_GAP = 2


@dataclass(frozen=True, slots=True)
class Guards:
    """Limits of one picture: `megapixels` (10^6, checked before allocation) and `megabytes` (10^6) of file."""

    megapixels: float = 200
    megabytes: float = 100

    @property
    def bytes(self) -> int:
        """The limit of the file's size in bytes."""
        return int(self.megabytes * 1e6)


def decode(data: bytes, *, side: int | None = None, guards: Guards = Guards()) -> NDArray[np.uint8]:
    """Decodes a picture to (H, W, 3) uint8 RGB, upright, first frame, transparency on white.

    With `side` the shorter side is known to be reduced to `side` afterwards: a much larger JPEG is then decoded at
    1/2, 1/4 or 1/8 (draft mode). Raises PictureError with a short reason without the file's name.
    """
    image, _, _ = decode_image(data, side=side, guards=guards)
    return np.array(image)


def decode_image(
    data: bytes, *, side: int | None = None, guards: Guards = Guards()
) -> tuple[Image.Image, int, int]:
    """`decode` as a Pillow picture of mode RGB, with the (upright) width and height the file has in full."""
    if not data:
        raise PictureError("the file is empty")
    if len(data) > guards.bytes:
        raise PictureError(f"its {len(data) / 1e6:.0f} MB are over the limit of {guards.megabytes:g} MB")
    with _quiet():
        try:
            return _decoded(data, side, guards)
        except PictureError:
            raise
        except MissingExtra as error:
            raise PictureError(str(error)) from error
        except MemoryError as error:
            raise PictureError("there is not enough memory to decode it") from error
        # Plugins let out any type of exception on hostile bytes; each of them means that this picture is unreadable.
        except Exception as error:
            raise PictureError(_reason(error)) from error


def measure(data: bytes, *, guards: Guards = Guards()) -> tuple[int, int]:
    """Width and height of a picture as its file stores it, from the header alone. Raises PictureError like `decode`."""
    with _quiet():
        try:
            width, height = _opened(data, guards).size
            _check_size(width, height, guards)
        except PictureError:
            raise
        except MissingExtra as error:
            raise PictureError(str(error)) from error
        except Exception as error:  # as above
            raise PictureError(_reason(error)) from error
    return width, height


def _decoded(data: bytes, side: int | None, guards: Guards) -> tuple[Image.Image, int, int]:
    image = _opened(data, guards)
    width, height = image.size
    _check_size(width, height, guards)
    if side is not None and isinstance(image, JpegImagePlugin.JpegImageFile):
        image.draft(None, (side * _DRAFT_GAP, side * _DRAFT_GAP))
        image.load()
    else:
        image.load()
        width, height = image.size  # HEIF and TIFF may turn the picture while they load it
        _check_size(width, height, guards)
    turn = _UPRIGHT.get(_orientation(image))
    rgb = to_rgb(image)
    if turn is None:
        return rgb, width, height
    upright = rgb.transpose(turn)
    return (upright, width, height) if turn in _KEEPING else (upright, height, width)


def _opened(data: bytes, guards: Guards) -> Image.Image:
    """The picture with its header read and nothing decoded; its content decides its format, not its name."""
    if data[4:8] == b"ftyp":
        return _opened_heif(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        # libwebp allocates the canvas while opening, so its size is looked at before.
        _check_size(*_webp_size(data), guards)
    for plugin, accept, factory in _PLUGINS:
        if accept(data[:16]):
            try:
                image: Image.Image = factory(BytesIO(data), "")
            except (IndexError, KeyError, TypeError, struct.error) as error:
                raise PictureError(f"its {plugin} header is damaged") from error
            return image
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


def _check_size(width: int, height: int, guards: Guards) -> None:
    if width < 1 or height < 1:
        raise PictureError("it has no pixels")
    if width * height > guards.megapixels * 1e6:
        raise PictureError(
            f"its {width} x {height} pixels are over the limit of {guards.megapixels:g} megapixels"
        )


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


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 when there is none; damaged EXIF does not cost the picture."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # whatever Pillow's parser lets out on hostile bytes, the pixels are still good
        return 1
    return value if isinstance(value, int) else 1


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


class _Quiet:
    """Turns Python warnings off while at least one thread decodes. `warnings.catch_warnings` alone is not enough:
    two threads leaving it out of order would leave warnings off for good."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._caught: Any = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore")
        try:
            yield
        finally:
            with self._lock:
                self._depth -= 1
                if self._depth == 0:
                    self._caught.__exit__(None, None, None)


_quiet = _Quiet()

"""Bytes of a picture file → RGB, safely: any mode, upright, in sRGB, first frame, and nothing a file says is believed
blindly. `picture.read_picture` takes everything that is a picture and comes here with the bytes.

What stands beside the pixels never costs a picture: a PNG is read without it, other formats a second time without it
when they fail.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from sightbook.errors import MissingExtra, PictureError
from sightbook.images.pixels import jpeg, riff, sixteen, tiff, zeros
from sightbook.images.pixels.about import About, tell
from sightbook.images.pixels.guards import Guards, limits
from sightbook.images.pixels.numbers import correct_reading
from sightbook.images.pixels.plugins import format_of, open_picture
from sightbook.images.pixels.quiet import hear, quiet
from sightbook.images.pixels.rgb import to_rgb

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
            image, width, height = _load(data, side, guards)
            return upright(image, width, height, image.format or format_of(data))
        except Exception as error:
            raise explain(error) from error


def measure(data: bytes, *, guards: Guards | None = None) -> tuple[int, int]:
    """Width and height of a picture as its file stores it, from the header alone. Raises PictureError like `decode`."""
    guards = guards or limits()
    with quiet():
        try:
            image = open_picture(data, guards)
            if not isinstance(image, JpegImageFile):  # which may be decoded in part
                guards.check_size(*image.size)
        except Exception as error:
            raise explain(error) from error
    return image.size


def upright(image: Image.Image, width: int, height: int, format: str | None) -> tuple[Image.Image, About]:
    """A loaded picture in RGB as its EXIF turns it, and what it tells, its full size turned likewise."""
    about = tell(image, width, height, format.lower() if format else None)
    turn = _UPRIGHT.get(about.orientation or 1)
    rgb = to_rgb(image)
    if turn is None:
        return rgb, about
    turned = rgb.transpose(turn)
    return turned, about if turn in _KEEPING else about._replace(width=height, height=width)


def explain(error: Exception) -> PictureError:
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


def _load(data: bytes, side: int | None, guards: Guards) -> tuple[Image.Image, int, int]:
    """The picture with its pixels, as stored, and its full width and height."""
    kind = format_of(data)
    if kind == "JPEG":
        return _load_jpeg(data, side, guards)
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
    def reopened() -> Image.Image:
        image = open_picture(data, guards)
        if kind == "TIFF":
            correct_reading(image)
        return image

    image = reopened()
    guards.check_size(*image.size)
    raw = sixteen.rawmode(image)
    if kind == "TIFF":
        # libtiff, which prints its troubles; Pillow then knows a number.
        said: list[str] = []
        try:
            with hear(b"tempfile.tif") as said:
                image.load()
        except OSError as error:
            raise OSError(f"{error}: {said[-1]}" if said else str(error)) from error
        tiff.check_deflated(data, getattr(image, "tag_v2", {}))
    else:
        image.load()
    guards.check_size(*image.size)  # HEIF and TIFF may turn the picture while they load it
    if kind == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        return image.convert("RGB")  # its writer did not mean the fourth byte
    return sixteen.brighten(image, raw, reopened)


def _load_jpeg(data: bytes, side: int | None, guards: Guards) -> tuple[Image.Image, int, int]:
    found = jpeg.layout(data, whole=False)
    if (found is None or not found.sound) and (bare := jpeg.strip(data)) is not None:
        data, found = bare, jpeg.layout(bare, whole=False)
    if found is not None and found.in_passes:
        found = jpeg.layout(data, whole=True)

    def pixels(data: bytes) -> tuple[Image.Image, int, int]:
        image = open_picture(data, guards)
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

    unfinished = None if found is None else jpeg.close(data, found)
    image, width, height = pixels(data if unfinished is None else unfinished[0])
    if unfinished is None:
        jpeg.check_whole(data, found, _corner(image), same, is_flat)
    elif not all(map(same, unfinished[1])):
        raise PictureError("the file is cut short: a part of the picture is missing")
    return image, width, height


def _or_none(decoded: Callable[[], Image.Image]) -> Image.Image | None:
    try:
        return decoded()
    except Exception:  # as in `explain`
        return None


def _corner(image: Image.Image) -> tuple[int, ...]:
    value: Any = image.getpixel((image.width - 1, image.height - 1))
    return value if isinstance(value, tuple) else (int(value),)


def _reason(error: Exception) -> str:
    """A short plain reason for what a plugin said."""
    text = str(error).strip().partition("\n")[0].rstrip(".")
    lowered = text.lower()
    if isinstance(error, (EOFError, struct.error)) or any(sign in lowered for sign in _CUT_SHORT):
        return "the file is cut short or damaged"
    if isinstance(error, SyntaxError) and not (lowered.isdigit() or lowered.startswith("unknown ")):
        return f"the file is damaged ({text})" if text else "the file is damaged"
    return f"it cannot be decoded ({text or type(error).__name__})"


_CUT_SHORT = ("truncated", "end of file", "unexpected end", "eof", "not enough data", "incomplete")

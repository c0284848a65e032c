"""Whether each picture format can really be read here: a tiny picture of each goes through our own decoder."""

from __future__ import annotations

import base64
import io

from sightbook.errors import SightbookError

# A 16x16 picture of one colour, (200, 80, 40): encoders of these two are often missing where the decoders are there.
_AVIF = (
    "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUIAAADrbWV0YQAAAAAAAAAhaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAAAAAAAAAO"
    "cGl0bQAAAAAAAQAAAB5pbG9jAAAAAEQAAAEAAQAAAAEAAAETAAAAJgAAAChpaW5mAAAAAAABAAAAGmluZmUCAAAAAAEAAGF2MDFDb2xvcgAA"
    "AABqaXBycAAAAEtpcGNvAAAAFGlzcGUAAAAAAAAAEAAAABAAAAAQcGl4aQAAAAADCAgIAAAADGF2MUOBAAwAAAAAE2NvbHJuY2x4AAEADQAG"
    "gAAAABdpcG1hAAAAAAAAAAEAAQQBAoMEAAAALm1kYXQSAAoJGAz/2iAhoNCAMhccR4eF3dNNNMLAAAB1fVm9u4ULax2BUg=="
)
_HEIC = (
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAXxtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJpbG9j"
    "AAAAAERAAAEAAQAAAAABoAABAAAAAAAAACoAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA/Glw"
    "cnAAAADcaXBjbwAAAHVodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQApQgEBA3AA"
    "AAMAkAAAAwAAAwAeoCCBBZbqrprm4CGgwIAAAAyAAAADAIRiAAEABkQBwXPBiQAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABA"
    "AAAAQAAAAChjbGFwAAAAEAAAAAEAAAAQAAAAAf///9AAAAAC////0AAAAAIAAAAQcGl4aQAAAAADCAgIAAAAGGlwbWEAAAAAAAAAAQABBYEC"
    "AwWEAAAAMm1kYXQAAAAmKAGvGSFeQkDvXaW//oTP+UNX9XW3ymSgppcE14iZCwOBgI2RnTg="
)
FORMATS = ("JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF", "HEIC", "AVIF")
COLOUR, _TOLERANCE = (200, 80, 40), 12  # lossy formats miss the colour a little


def readable(name: str) -> str | None:
    """None when pictures of this format are read correctly here, else the reason."""
    # Here, so that where one of these is missing `doctor` still starts and says so.
    import numpy as np

    from sightbook.images.pixels.decode import decode

    try:
        pixels = decode(sample(name))
    except SightbookError as error:
        return str(error)
    except (OSError, KeyError) as error:  # Pillow was built without this format's encoder
        return f"cannot be tried: {error}"
    if pixels.shape != (16, 16, 3) or int(np.abs(pixels.astype(int) - COLOUR).max()) > _TOLERANCE:
        return f"decodes wrongly: {pixels.shape}, {pixels[0, 0].tolist()} instead of {list(COLOUR)}"
    return None


def sample(name: str) -> bytes:
    """A picture of this format as a file, of COLOUR all over. OSError or KeyError where Pillow cannot write one."""
    if name in ("AVIF", "HEIC"):
        return base64.b64decode(_AVIF if name == "AVIF" else _HEIC)
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), COLOUR).save(buffer, name.upper())
    return buffer.getvalue()

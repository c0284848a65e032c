"""Does damage beside the pixels cost a picture? Segments, chunks and tags that make no pixels are damaged.

    python benchmarks/metadata_damage.py [--files 10000] [--seed 0]

JPEG, PNG, WebP, TIFF and GIF are written with texts, dates, EXIF (upright), XMP and a profile (sRGB), then one to six
bytes of these, of their names and lengths are changed, zeroed, or, where a format allows it, taken out or put in. The
pixels' data stay untouched, so the answer must be the undamaged picture's pixels, each of them.
"""

from __future__ import annotations

import argparse
import io
import random
import struct
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # how the tests look into files

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

from sightbook.errors import PictureError
from sightbook.images.pixels import riff
from sightbook.images.pixels.decode import decode

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">' + b"<rdf:li>a word</rdf:li>" * 60 + b"</x:xmpmeta>"
SHOWN = 20
Regions = list[tuple[int, int]]


def main() -> None:
    """Runs the campaign and prints one table; leaves with 1 when a picture was lost or another one was read."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--files", type=int, default=10_000)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    chance = random.Random(given.seed)
    originals = {name: make(chance) for name, make in MAKERS.items()}
    wanted = {name: decode(data) for name, (data, _) in originals.items()}
    counts: Counter[tuple[str, str]] = Counter()
    shown: list[str] = []
    for number in range(given.files):
        name = list(MAKERS)[number % len(MAKERS)]
        data, regions = originals[name]
        try:
            right = np.array_equal(decode(damaged(chance, data, regions, name in SHIFTING)), wanted[name])
            verdict, why = ("read" if right else "other pixels"), ""
        except PictureError as error:
            verdict, why = "refused", str(error)
        counts[name, verdict] += 1
        if verdict != "read" and len(shown) < SHOWN:
            shown.append(f"  {name}, file {number}: {verdict} {why}")
    print(f"{'format':<12}{'files':>8}{'read':>8}{'refused':>9}{'other pixels':>14}")
    for name in MAKERS:
        row = [counts[name, verdict] for verdict in ("read", "refused", "other pixels")]
        print(f"{name:<12}{sum(row):>8,}{row[0]:>8,}{row[1]:>9,}{row[2]:>14,}")
    lost = sum(count for (_, verdict), count in counts.items() if verdict != "read")
    print(f"{lost:,} of {given.files:,} lost (seed {given.seed})", *shown, sep="\n")
    sys.exit(bool(lost))


def damaged(chance: random.Random, data: bytes, regions: Regions, shifting: bool) -> bytes:
    """The file with some damage inside one of the regions."""
    start, end = chance.choice(regions)
    found = bytearray(data)
    ways = ["bytes", "bits", "stretch", "zeros"] + (["out", "in"] if shifting else [])
    way = chance.choice(ways)
    at = chance.randrange(start, end)
    length = min(chance.choice([1, 4, 40, 400]), end - at)
    if way in ("bytes", "bits"):
        for _ in range(chance.randint(1, 6)):
            place = chance.randrange(start, end)
            found[place] = (
                chance.randrange(256) if way == "bytes" else found[place] ^ 1 << chance.randrange(8)
            )
    elif way == "in":
        found[at:at] = chance.randbytes(length)
    elif way == "out":
        del found[at : at + length]
    else:
        found[at : at + length] = chance.randbytes(length) if way == "stretch" else bytes(length)
    return bytes(found)


def _pixels(chance: random.Random) -> Image.Image:
    pixels = np.random.default_rng(chance.randrange(1 << 30)).integers(0, 256, (9, 12, 3), np.uint8)
    return Image.fromarray(pixels).resize((96, 72), Image.Resampling.BICUBIC)


def _exif(thumbnail: bool = False) -> bytes:
    exif = Image.Exif()
    exif[0x010E], exif[0x0132], exif[0x010F] = "a description " * 20, "2024:05:17 12:00:00", "Maker"
    exif.get_ifd(0x8769)[0x927C] = bytes(range(256)) * 3
    found = exif.tobytes()
    return found + _file(Image.new("RGB", (40, 30), "green"), "JPEG") if thumbnail else found


def _file(image: Image.Image, format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def _jpeg(chance: random.Random, progressive: bool = False) -> tuple[bytes, Regions]:
    data = _file(
        _pixels(chance), "JPEG", exif=_exif(thumbnail=True), icc_profile=SRGB, xmp=XMP, comment=b"said " * 40,
        progressive=progressive,
    )  # fmt: skip
    regions, at = [], 2
    while data[at + 1] >= 0xE0:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        regions.append((at, end))
        at = end
    return data, regions


def _png(chance: random.Random) -> tuple[bytes, Regions]:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("parameters", "a picture of " * 30)
    texts.add_text("workflow", "step, " * 200, zip=True)
    texts.add_itxt("XML:com.adobe.xmp", XMP.decode(), zip=True)
    texts.add(b"tIME", bytes([7, 232, 5, 17, 12, 0, 0]))
    texts.add(b"prIv", bytes(range(100)), after_idat=True)
    data = _file(_pixels(chance), "PNG", pnginfo=texts, icc_profile=SRGB, exif=_exif(), dpi=(72, 72))
    regions, at = [], 8
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] not in (b"IHDR", b"IDAT", b"IEND"):
            regions.append((at, end))
        at = end
    return data, regions


def _webp(chance: random.Random, lossless: bool = False) -> tuple[bytes, Regions]:
    data = _file(_pixels(chance), "WEBP", exif=_exif(), icc_profile=SRGB, xmp=XMP, lossless=lossless)
    return data, [
        (start - 8, end) for kind, start, end in riff.chunks(data) if kind in (b"ICCP", b"EXIF", b"XMP ")
    ]


def _tiff(chance: random.Random) -> tuple[bytes, Regions]:
    info = {
        270: "a description " * 30,
        305: "a program",
        306: "2024:05:17 12:00:00",
        700: XMP,
        282: 72.0,
        283: 72.0,
    }
    data = _file(_pixels(chance), "TIFF", tiffinfo=info, compression="tiff_lzw")
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    regions = []
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, length, place = struct.unpack_from("<HHII", data, entry)
        if tag in info:
            regions.append(
                (entry + 2, entry + 12)
            )  # with another number it may become a tag that makes pixels
            size = length * {2: 1, 5: 8, 1: 1, 7: 1}.get(kind, 4)
            if size > 4:
                regions.append((place, place + size))
    return data, regions


def _gif(chance: random.Random) -> tuple[bytes, Regions]:
    data = _file(_pixels(chance), "GIF", comment=b"a comment, " * 60)
    start = data.index(b"a comment")
    return data, [(start, start + 200)]  # within the first block: lengths of blocks lead to the pixels


MAKERS: dict[str, Callable[[random.Random], tuple[bytes, Regions]]] = {
    "JPEG": _jpeg, "progressive": lambda chance: _jpeg(chance, progressive=True), "PNG": _png, "WebP": _webp,
    "lossless": lambda chance: _webp(chance, lossless=True), "TIFF": _tiff, "GIF": _gif,
}  # fmt: skip
SHIFTING = {"JPEG", "progressive", "PNG", "WebP", "lossless"}  # pixels are found wherever they are

if __name__ == "__main__":
    main()

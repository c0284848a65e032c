"""Is a picture taken only when it is whole? Files are cut, closed, filled with zeros and holed, or only lose their end.

    python benchmarks/whole_pictures.py [--files 10000] [--seed 0]

A damaged file must be refused, or give the undamaged picture's pixels (then nothing was missing). A file that lost only
its end marker, or has something behind it, must be taken. Pictures are smooth shapes with noise, on flat ground now and
then, of 60 to 500 pixels a side.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
from collections import Counter

import numpy as np
from PIL import Image

from sightbook.errors import PictureError
from sightbook.images.pixels.decode import decode

FORMATS: dict[str, tuple[str, dict[str, object]]] = {
    "JPEG": ("JPEG", {}),
    "optimized": ("JPEG", {"optimize": True, "quality": 92}),
    "progressive": ("JPEG", {"progressive": True}),
    "restarts": ("JPEG", {"restart_marker_rows": 1}),
    "PNG": ("PNG", {}),
    "GIF": ("GIF", {}),
    "WebP": ("WEBP", {"quality": 90}),
    "lossless": ("WEBP", {"lossless": True}),
    "AVIF": ("AVIF", {}),
    "TIFF lzw": ("TIFF", {"compression": "tiff_lzw"}),
    "TIFF zip": ("TIFF", {"compression": "tiff_adobe_deflate"}),
}
ENDS = {"JPEG": b"\xff\xd9", "PNG": b"\0\0\0\0IEND\xaeB`\x82", "GIF": b";"}
HARM = ("cut", "cut, closed", "cut, zeros", "hole")
SHOWN = 20


def main() -> None:
    """Runs the campaign and prints one table; leaves with 1 when a file was judged wrongly."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--files", type=int, default=10_000)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    chance = random.Random(given.seed)
    counts: Counter[tuple[str, str]] = Counter()
    shown: list[str] = []
    for number in range(given.files):
        name = list(FORMATS)[number % len(FORMATS)]
        format, how = FORMATS[name]
        data = _file(_picture(chance), format, how)
        way, broken = _damaged(chance, format, data)
        try:
            taken = np.array_equal(decode(broken), decode(data))
            wrong, why = not taken, "taken, with other pixels"
        except PictureError as error:
            taken, wrong, why = False, way not in HARM, str(error)
        counts[name, "files"] += 1
        counts[name, "taken" if taken else "refused"] += not wrong
        counts[name, f"wrong: {way}"] += wrong
        if wrong and len(shown) < SHOWN:
            shown.append(f"  {name}, file {number}, {way}: {why} ({len(broken):,} bytes of {len(data):,})")
    print(f"{'format':<13}{'files':>7}{'refused':>9}{'taken':>7}{'wrong':>7}")
    total = 0
    for name in FORMATS:
        wrongs = {
            key: count
            for (which, key), count in counts.items()
            if which == name and key[:5] == "wrong" and count
        }
        total += sum(wrongs.values())
        row = [counts[name, what] for what in ("files", "refused", "taken")]
        print(f"{name:<13}{row[0]:>7,}{row[1]:>9,}{row[2]:>7,}{sum(wrongs.values()):>7,}", wrongs or "")
    print(f"{total:,} of {given.files:,} judged wrongly (seed {given.seed})", *shown, sep="\n")
    sys.exit(bool(total))


def _damaged(chance: random.Random, format: str, data: bytes) -> tuple[str, bytes]:
    """(what was done, the file)."""
    cut = chance.randrange(len(data) // 10, len(data) * 97 // 100)
    end = ENDS.get(format, b"")
    way = chance.choice([*HARM, "end lost" if end else "tail", "tail"])
    if way == "cut":
        return way, data[:cut]
    if way == "cut, closed":
        return way, data[:cut].rstrip(b"\xff") + (end or data[-4:])
    if way == "cut, zeros":
        return way, data[:cut] + bytes(len(data) - cut)
    if way == "hole":
        length = chance.choice([600, 1024, 4096])
        hole = data[:cut] + bytes(min(length, len(data) - cut)) + data[cut + length :]
        return way, hole
    if way == "end lost":
        return way, data[: -len(end)]
    return way, data + chance.choice([bytes(700), b"\n", chance.randbytes(900)])


def _picture(chance: random.Random) -> Image.Image:
    random_ = np.random.default_rng(chance.randrange(1 << 30))
    width, height = chance.randint(120, 500), chance.randint(120, 500)
    small = Image.fromarray(random_.integers(0, 256, (9, 12, 3), np.uint8))
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), float)
    pixels = np.clip(smooth + random_.normal(0, chance.choice([3, 10, 25]), (height, width, 1)), 0, 255)
    if chance.random() < 0.2:
        pixels[: height // 3] = 250
    return Image.fromarray(pixels.astype(np.uint8))


def _file(image: Image.Image, format: str, how: dict[str, object]) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **how)
    return stream.getvalue()


if __name__ == "__main__":
    main()

"""Do bad pictures harm? Thousands of mutated files of every format, decoded one by one, then added to a library.

    python benchmarks/bad_pictures.py [--files 10000] [--seed 0] [--work FOLDER]

Files of every format and mode the program reads are written, with odd EXIF orientations, then damaged: flipped bits,
truncated, zeroed or doubled stretches, rubbish inside, headers that claim other sizes (bombs), wrong extensions,
several damages at once. Each is decoded in a child process, whose death, time and memory are watched. Then all of them,
with good pictures among them, are added to a library: every failure must be named, and the good pictures' codes must be
those they have alone.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # the tests' tiny model

import numpy as np
from PIL import Image

from sightbook.errors import PictureError
from sightbook.images.pixels.decode import Guards, decode_image
from sightbook.library.library import Library
from sightbook.model.model import Model

SECONDS, MEMORY = (
    5.0,
    3.0,
)  # for one picture; GiB of a process, in which 200 megapixels (the guard) are 0.6 GB each way
FORMATS = {
    "jpg": ("JPEG", ("L", "RGB", "CMYK")),
    "png": ("PNG", ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    "webp": ("WEBP", ("RGB", "RGBA")),
    "gif": ("GIF", ("1", "L", "P", "RGB")),
    "bmp": ("BMP", ("1", "L", "P", "RGB")),
    "tif": ("TIFF", ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F")),
    "avif": ("AVIF", ("RGB", "RGBA")),
}
GOOD = 60


def main() -> None:
    """Runs the campaign and prints one table; leaves with 1 when a picture did harm."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--files", type=int, default=10_000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--work", type=Path)
    options.add_argument("--child", type=Path)
    given = options.parse_args()
    if given.child:
        _child(given.child)
        return
    from tests.tiny import tiny_model

    work = given.work or Path(tempfile.mkdtemp(prefix="bad-pictures-"))
    bad, good = work / "all" / "bad", work / "all" / "good"
    bad.mkdir(parents=True)
    good.mkdir(parents=True)
    chance = random.Random(given.seed)
    seeds = originals(chance)
    kinds: Counter[str] = Counter()
    for number in range(given.files):
        suffix, data = chance.choice(seeds)
        damage, data = damaged(chance, suffix, data)
        kinds[damage] += 1
        name = chance.choice(list(FORMATS)) if damage == "wrong extension" else suffix
        (bad / f"{number:05}.{name}").write_bytes(data)
    for number in range(GOOD):
        suffix, data = chance.choice(seeds)
        (good / f"{number:03}.{suffix}").write_bytes(data)
    harm = _one_by_one(bad)
    harm += _together(work, Model.open(tiny_model(work / "model"), threads=1))
    for line in harm:
        print(line)
    print(f"{given.files:,} damaged files ({', '.join(f'{n} {what}' for what, n in kinds.most_common())})")
    print(f"{len(harm)} did harm (seed {given.seed})")
    if not given.work:
        shutil.rmtree(work)
    sys.exit(bool(harm))


def originals(chance: random.Random) -> list[tuple[str, bytes]]:
    """(suffix, file) of every format and mode, some with an EXIF orientation, sound or not."""
    found = []
    for suffix, (name, modes) in FORMATS.items():
        for mode in modes:
            for side in (9, 40, 130):
                pixels = np.random.default_rng(chance.randrange(1 << 30)).integers(
                    0, 256, (side, side + 7, 3), np.uint8
                )
                smooth = Image.fromarray(pixels).resize((side + 7, side), Image.Resampling.BICUBIC)
                image = (
                    smooth.convert("I;16" if mode == "I;16" else mode)
                    if mode != "I;16"
                    else smooth.convert("L").convert("I;16")
                )
                more = {}
                if name in ("JPEG", "PNG", "WEBP", "TIFF") and chance.random() < 0.6:
                    exif = Image.Exif()
                    exif[0x0112] = chance.choice([1, 3, 6, 8, 0, 77, 65535])
                    exif[0x010E] = "x" * chance.choice([1, 500])
                    more["exif"] = exif
                buffer = io.BytesIO()
                try:
                    image.save(buffer, name, **more)
                except (OSError, ValueError, KeyError):
                    continue  # a mode that this format does not have here
                found.append((suffix, buffer.getvalue()))
    return found


def damaged(chance: random.Random, suffix: str, data: bytes) -> tuple[str, bytes]:
    """(what was done, the file)."""
    damage = chance.choice(
        ["flipped bits", "truncated", "zeroed", "doubled", "rubbish", "sizes", "wrong extension", "several"]
    )
    content = bytearray(data)
    steps = chance.randrange(2, 5) if damage == "several" else 1
    for _ in range(steps):
        what = (
            chance.choice(["flipped bits", "truncated", "zeroed", "rubbish", "sizes"])
            if damage == "several"
            else damage
        )
        size = len(content)
        if size < 16:
            break
        place = chance.randrange(size) if chance.random() < 0.7 else chance.randrange(min(size, 64))
        if what == "flipped bits":
            for _ in range(chance.choice([1, 3, 30])):
                at = chance.randrange(size) if chance.random() < 0.5 else chance.randrange(min(size, 128))
                content[at] ^= 1 << chance.randrange(8)
        elif what == "truncated":
            del content[place:]
        elif what == "zeroed":
            length = min(chance.choice([4, 64, 1000]), size - place)
            content[place : place + length] = bytes(length)
        elif what == "doubled":
            content[place:place] = content[: chance.randrange(size)]
        elif what == "rubbish":
            content[place:place] = chance.randbytes(chance.choice([1, 20, 5000]))
        elif what == "sizes":
            _lie(chance, suffix, content)
    return damage, bytes(content)


def _lie(chance: random.Random, suffix: str, content: bytearray) -> None:
    """Lets the header claim another size."""
    width, height = (chance.choice([0, 1, 7, 1000, 9999, 30_000, 65_535]) for _ in range(2))
    if suffix == "png":
        content[16:24] = struct.pack(">II", width * chance.choice([1, 1000]), height)
    elif suffix == "gif":
        content[6:10] = struct.pack("<HH", width, height)
    elif suffix == "bmp" and len(content) > 26:
        content[18:26] = struct.pack("<ii", width, -height)
    elif suffix == "jpg":
        at = content.find(b"\xff\xc0")
        if 0 <= at < len(content) - 9:
            content[at + 5 : at + 9] = struct.pack(">HH", height, width)
    else:  # where some number stands that may be a size
        at = chance.randrange(4, min(len(content) - 4, 200))
        content[at : at + 4] = struct.pack("<I", width * 1000)


def _one_by_one(folder: Path) -> list[str]:
    """Each file in a child that tells its time; a child that dies is begun again behind the file that killed it."""
    harm = []
    todo = sorted(folder.iterdir())
    slowest, largest, refused = 0.0, 0.0, 0
    while todo:
        some, todo = todo[:2000], todo[2000:]
        listing = folder.parent / "listing"
        listing.write_text("\n".join(map(str, some)))
        done = subprocess.run(
            [sys.executable, __file__, "--child", listing], capture_output=True, text=True, check=False
        )
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        if done.returncode:
            killer = some[len(lines)]
            kept = killer.rename(folder.parent.parent / f"killer-{killer.name}")
            harm.append(f"{kept} killed its process ({done.returncode}): {done.stderr[-300:]}")
            todo = some[len(lines) + 1 :] + todo
        for path, line in zip(some, lines, strict=False):
            slowest, largest = max(slowest, line["seconds"]), max(largest, line["memory"])
            refused += line["reason"] is not None
            if line["seconds"] > SECONDS:
                harm.append(f"{path.name} took {line['seconds']:.1f} s")
            if line["reason"] == "":
                harm.append(f"{path.name} was refused without a reason")
        if lines and lines[-1]["memory"] > MEMORY:
            harm.append(f"a process needed {lines[-1]['memory']:.1f} GiB")
    print(
        f"one by one: slowest {slowest:.2f} s, largest process {largest:.2f} GiB, {refused:,} refused with a reason"
    )
    return harm


def _child(listing: Path) -> None:
    for line in listing.read_text().splitlines():
        data, reason = Path(line).read_bytes(), None
        started = time.perf_counter()
        try:
            decode_image(data, side=64, guards=Guards())
        except PictureError as error:
            reason = str(error)
        seconds = time.perf_counter() - started
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps({"seconds": seconds, "memory": memory, "reason": reason}), flush=True)


def _together(work: Path, model: Model) -> list[str]:
    """All files in one library: failures named, good pictures as they are alone."""
    harm = []
    started = time.monotonic()
    with Library.open(work / "alone", create_with=model) as alone:
        alone.add([work / "all" / "good"], jobs=1)
        wanted = {row[2]: row[4:] for rows in alone.rows(1000) for row in rows}
        unreadable = len(alone.failures())
    with Library.open(work / "library", create_with=model) as library:
        report = library.add([work / "all"])
        held = {row[2]: row[4:] for rows in library.rows(1000) for row in rows}
        named = {failure.path: failure.reason for failure in library.failures()}
    for path, value in wanted.items():
        if held.get(f"good/{path}") != value:
            harm.append(f"the good picture {path} has another code beside bad ones")
    files = {f"bad/{path.name}" for path in (work / "all" / "bad").iterdir()}
    harm += [f"{path} is neither held nor named" for path in files - held.keys() - named.keys()]
    harm += [f"{path} failed without a reason" for path, reason in named.items() if not reason]
    if unreadable:
        harm.append(f"{unreadable} undamaged pictures could not be read")
    print(
        f"together: {report.added:,} added, {len(report.failed):,} named as failures, "
        f"{time.monotonic() - started:.0f} s"
    )
    return harm


if __name__ == "__main__":
    main()

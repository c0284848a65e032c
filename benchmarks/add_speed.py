"""Does encoding overlap decoding? `encode` against the best its two halves allow, on the same pictures and cores.

Run:  python benchmarks/add_speed.py MODEL SOURCE [--pictures 1500] [--rounds 3] [--json FILE]
      python benchmarks/add_speed.py --first FOLDER [--pictures 1500] [--rounds 3] [--json FILE]
Each round measures, one after the other on a warm file cache: decoding alone (all cores), the forward pass alone (all
cores, pixels in memory) and both through `sightbook.model.encode`. At best that rate is 1 / (1/decode + 1/forward).
With --first it is the command `sightbook add`, from its start to its end, that makes a library of the first pictures of
FOLDER over the built-in network; the seconds in which it learns the codes are told apart. Figures come twice there:
by the clock, and by the processor time of all processes, which other work on the machine changes little (Linux).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightbook.cores import cores
from sightbook.images.entry import Entry
from sightbook.images.load.pool import Loaded, load
from sightbook.images.pixels.frame import Frame
from sightbook.images.sources import open_sources
from sightbook.model import builtin
from sightbook.model.encode import encode
from sightbook.model.graph import open_session, run
from sightbook.model.model import Model

BATCH = 128

Forward = Callable[[NDArray[np.uint8]], object]
Seconds = NDArray[np.float64]  # by the clock, of the processor


def main() -> None:
    """Measures and prints one table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("model", type=Path, help="a MODEL folder; with --first the FOLDER of pictures")
    options.add_argument("source", type=Path, nargs="?")
    options.add_argument("--first", action="store_true")
    options.add_argument("--pictures", type=int, default=1500)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    if given.first is (given.source is not None):
        options.error("give MODEL and SOURCE, or --first and FOLDER")
    measure = first if given.first else later
    rows: list[dict[str, float]] = []
    for row in measure(given):
        if not rows:
            print("  ".join(f"{name:>11}" for name in row))
        rows.append(row)
        print("  ".join(f"{value:11.{2 if value < 10 else 0}f}" for value in row.values()), flush=True)
    share = statistics.median(row["share"] for row in rows)
    print(f"median share of the best {share:.2f} (wanted: at least {0.9 if given.first else 0.85})")
    if given.first:
        print(f"by processor time {statistics.median(row['cpu share'] for row in rows):.2f}")
    if given.json:
        given.json.write_text(json.dumps({"rounds": rows, "median_share": share}, indent=2) + "\n")


def later(given: argparse.Namespace) -> Any:
    """Rows of `encode` with a model that is there."""
    model = Model.open(given.model)
    entries = list(itertools.islice(open_sources([given.source]).entries(), given.pictures))
    print(f"{len(entries)} pictures at {model.frame.size} px; pictures/s")
    warm(entries)
    model.embed(np.zeros((8, model.frame.size, model.frame.size, 3), np.uint8))
    for _ in range(given.rounds):
        alone = halves(entries, model.frame, lambda pixels: model.assign(model.embed(pixels)))
        decode, forward = (len(entries) / each[0] for each in alone)
        started = time.perf_counter()
        n = sum(1 for _ in encode(entries, model, batch=BATCH))
        both = n / (time.perf_counter() - started)
        best = 1 / (1 / decode + 1 / forward)
        yield {"decode": decode, "forward": forward, "best": best, "encode": both, "share": both / best}


def first(given: argparse.Namespace) -> Any:
    """Rows of `sightbook add` without a model."""
    known = builtin.read()
    session = open_session(known.encoder, cores())

    def forward(pixels: NDArray[np.uint8]) -> object:
        return run(session, ["features"], pixels)

    with tempfile.TemporaryDirectory() as place:
        photos = Path(place) / "photos"
        photos.mkdir()
        found = itertools.islice(open_sources([given.model]).entries(), given.pictures)
        for number, entry in enumerate(found):
            path = photos / f"{number:06d}{Path(entry.path).suffix}"
            path.write_bytes(entry.read())
        entries = list(open_sources([photos]).entries())
        print(
            f"{len(entries)} pictures at {known.frame.size} px; pictures/s; `add` is without the seconds of learning"
        )
        forward(np.zeros((8, known.frame.size, known.frame.size, 3), np.uint8))
        for round in range(given.rounds):
            decode, passing = halves(entries, known.frame, forward)
            library = Path(place) / f"library{round}"
            whole, learning = add(library, photos)
            assert json_of("status", library)["pictures"] == len(entries)
            shutil.rmtree(library)
            row = {}
            for name, at in (("", 0), ("cpu ", 1)):
                best, both = decode[at] + passing[at], whole[at] - learning[at]
                seconds = {"decode": decode[at], "forward": passing[at], "best": best, "add": both}
                row |= {name + what: len(entries) / each for what, each in seconds.items()}
                row |= {f"{name}share": best / both, f"{name}learn s": learning[at]}
            yield row


def warm(entries: Sequence[Entry]) -> None:
    """Reads every file once."""
    for entry in entries:
        entry.read()


def halves(entries: Sequence[Entry], frame: Frame, forward: Forward) -> tuple[Seconds, Seconds]:
    """Seconds of decoding alone, and of the forward pass alone."""
    started = now()
    pixels = [item.pixels for item in load(entries, frame) if isinstance(item, Loaded)]
    decoded = now()
    for place in range(0, len(pixels), BATCH):
        forward(np.stack(pixels[place : place + BATCH]))
    return decoded - started, now() - decoded


def now() -> Seconds:
    """The clock, and the processor time of this process and of those of its children that have ended."""
    return np.array([time.perf_counter(), sum(os.times()[:4])])


def add(library: Path, photos: Path) -> tuple[Seconds, Seconds]:
    """Seconds of the whole command, and those from its notice about learning to what it says next."""
    started = now()
    words = [sys.executable, "-u", "-m", "sightbook", "add", str(library), str(photos)]
    lines = []
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as program:
        assert program.stderr is not None
        lines += ((of(program.pid), line) for line in program.stderr)
    seconds = now() - started
    assert program.returncode == 0, lines
    begun = next(place for place, (_, line) in enumerate(lines) if line.startswith("learning "))
    return seconds, lines[begun + 1][0] - lines[begun][0]


def of(process: int) -> Seconds:
    """The clock, and the processor time of another process and of those of its children that have ended."""
    try:
        facts = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        used = sum(map(int, facts[11:15])) / os.sysconf("SC_CLK_TCK")
    except OSError:  # it has ended, or this is no Linux
        used = float("nan")
    return np.array([time.perf_counter(), used])


def json_of(verb: str, library: Path) -> Any:
    """What a command says of the library."""
    words = [sys.executable, "-m", "sightbook", verb, str(library), "--json"]
    return json.loads(subprocess.run(words, capture_output=True, check=True).stdout)


if __name__ == "__main__":
    main()

"""How long does one search take, from the start of the process to its answer?

Run:  python benchmarks/open_speed.py LIBRARY PICTURE [--runs 11] [--json FILE]
or, without a library of that size at hand:  python benchmarks/open_speed.py --make 60000 MODEL PICTURE
Every run is a new process: open the library, encode the picture, search, print. Median on a warm file cache. `--make`
builds a temporary library with that many random codes for MODEL.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from sightbook.library.catalogue import NAME, Catalogue
from sightbook.library.library import Library
from sightbook.library.schema import PictureRow

PROGRAM = """
import sys
from sightbook import Library
with Library.open(sys.argv[1]) as library:
    hits = library.search(sys.argv[2], k=10)
print(len(hits), int("torch" in sys.modules))
"""


def make(folder: Path, model: Path, count: int) -> None:
    """A library of `count` rows with random codes."""
    with Library.open(folder, create_with=model) as library:
        width = library.facts.code_bytes
    codes = np.random.default_rng(0).integers(0, 256, (count, width), np.uint8)
    catalogue = Catalogue.write(folder / NAME)
    catalogue.put_source("made", "folder", "/made", 0.0)
    for start in range(0, count, 5000):
        catalogue.put(
            [
                PictureRow("made", f"{n:09}.jpg", 1, 1, n.to_bytes(16, "big"), 32, 32, codes[n].tobytes())
                for n in range(start, min(count, start + 5000))
            ]
        )
    catalogue.close()


def main() -> None:
    """Measures and prints one table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("library", type=Path, help="a library, or with --make a model")
    options.add_argument("picture", type=Path)
    options.add_argument("--make", type=int, metavar="N")
    options.add_argument("--runs", type=int, default=11)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        library = given.library
        if given.make:
            library = Path(folder) / "library"
            make(library, given.library, given.make)
        seconds = []
        for run in range(given.runs + 1):  # the first one warms the file cache and writes the snapshot
            started = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", PROGRAM, str(library), str(given.picture)],
                check=True,
                capture_output=True,
                text=True,
            )
            if run:
                seconds.append(time.perf_counter() - started)
            assert done.stdout.split()[1] == "0", "torch was imported"
        with Library.open(library) as opened:
            count = len(opened)
    median = statistics.median(seconds)
    print(
        f"{count} pictures: median {median:.3f} s, from {min(seconds):.3f} to {max(seconds):.3f} s ({given.runs} runs)"
    )
    if given.json:
        given.json.write_text(
            json.dumps({"pictures": count, "seconds": seconds, "median": median}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()

"""Does a search wait while somebody adds? Threads that search one open library while another process commits batches.

Run:  python benchmarks/search_while_adding.py MODEL PICTURE [--pictures 1000000] [--batches 20] [--threads 2]
      [--seconds 1.0] [--json FILE]
A temporary library gets `--pictures` rows with random codes. Then a process of its own adds `--batches` batches of 512
rows, one every `--seconds`, while threads ask `Library.search` with PICTURE again and again. Told are the median answer
alone and while it is added to, and the slowest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))  # also where a test runs this file

from library_speed import make

from sightbook.library.library import Library

ADD = """
import sys, time
from pathlib import Path
import numpy as np
from sightbook.catalogue.catalogue import NAME, Catalogue
from sightbook.catalogue.rows import PictureRow
library, batches, seconds, width = Path(sys.argv[1]), *map(float, sys.argv[2:])
catalogue = Catalogue.write(library / NAME)
(source,) = catalogue.sources()
random = np.random.default_rng(1)
for batch in range(int(batches)):
    time.sleep(seconds)
    codes = random.integers(0, 256, (512, int(width)), np.uint8)
    rows = [
        PictureRow(source.id, f"new/{batch}/{n}.jpg", 1, 1, bytes(16), About(32, 32), code.tobytes())
        for n, code in enumerate(codes)
    ]
    catalogue.put(rows)
catalogue.close()
"""


def main() -> None:
    """Measures and prints."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("model", type=Path)
    options.add_argument("picture", type=Path)
    options.add_argument("--pictures", type=int, default=1_000_000)
    options.add_argument("--batches", type=int, default=20)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--seconds", type=float, default=1.0)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    picture = given.picture.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "library"
        Library.open(path, create_with=given.model, fine=False).close()
        make(path, given.model, given.pictures)
        with Library.open(path) as library:
            library.search(picture)
            alone = asked(library, picture, given.threads, lambda: time.sleep(3))
            child = subprocess.Popen(
                [
                    sys.executable, "-c", ADD, str(path), str(given.batches), str(given.seconds),
                    str(library.facts.code_bytes),
                ]
            )  # fmt: skip
            times = asked(library, picture, given.threads, child.wait)
            assert child.returncode == 0
            assert len(library) == given.pictures + 512 * given.batches
    median, slowest = statistics.median(times), max(times)
    figures = {
        "pictures": given.pictures,
        "threads": given.threads,
        "searches": len(times),
        "median_alone": statistics.median(alone),
        "slowest_alone": max(alone),
        "median": median,
        "p99": float(np.quantile(times, 0.99)),
        "slowest": slowest,
        "ratio": slowest / median,
    }
    print(
        f"{given.pictures:,} pictures, {given.threads} threads: median {1e3 * figures['median_alone']:.1f} ms alone "
        f"(slowest {1e3 * figures['slowest_alone']:.1f}), {1e3 * median:.1f} ms of {len(times):,} searches while "
        f"{given.batches} batches were added (99 of 100 {1e3 * figures['p99']:.1f}, slowest {1e3 * slowest:.1f}: "
        f"{slowest / median:.1f} times the median)"
    )
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n")


def asked(library: Library, picture: bytes, threads: int, until: Callable[[], object]) -> list[float]:
    """Seconds of each search that threads make until `until` returns."""
    stop = threading.Event()
    times: list[float] = []

    def ask() -> None:
        while not stop.is_set():
            began = time.perf_counter()
            library.search(picture, 10)
            times.append(time.perf_counter() - began)

    working = [threading.Thread(target=ask) for _ in range(threads)]
    for thread in working:
        thread.start()
    until()
    stop.set()
    for thread in working:
        thread.join()
    return times


if __name__ == "__main__":
    main()

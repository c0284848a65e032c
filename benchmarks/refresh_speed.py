"""What does a reader pay when a writer has committed a batch? Codes alone, and with fine codes.

Run:  python benchmarks/refresh_speed.py [--pictures 200000] [--fine 256] [--rounds 9]
Made-up rows with codes of 64 bits; before each refresh 512 more are committed. The first with fine codes reads all of
them, those after it what is new.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from sightbook.catalogue.catalogue import NAME, Catalogue
from sightbook.catalogue.rows import PictureRow
from sightbook.catalogue.snapshot import Snapshot, load
from sightbook.codes.engine import Engine
from sightbook.codes.fine import Fine
from sightbook.images.pixels.about import About

BATCH = 512


def main() -> None:
    """Prints three times."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--pictures", type=int, default=200_000)
    options.add_argument("--fine", type=int, default=256, metavar="BYTES")
    options.add_argument("--rounds", type=int, default=9)
    given = options.parse_args()
    random, count = np.random.default_rng(0), 0
    with tempfile.TemporaryDirectory() as name:
        writer = Catalogue.create(Path(name) / NAME, "made up", given.fine)
        writer.put_source("s", "folder", "/photos", 0.0)

        def commit(more: int) -> None:
            nonlocal count
            drawn = random.integers(0, 256, (more, 8 + given.fine), np.uint8)
            writer.put(
                [
                    PictureRow(
                        "s",
                        f"{count + n}.jpg",
                        1,
                        1,
                        bytes(16),
                        About(1, 1),
                        row[:8].tobytes(),
                        row[8:].tobytes(),
                    )
                    for n, row in enumerate(drawn)
                ]
            )
            count += more

        while count < given.pictures:
            commit(min(20_000, given.pictures - count))
        reader = Catalogue.read(Path(name) / NAME)

        def refresh(*, fine: bool, last: Snapshot | None) -> tuple[float, Snapshot]:
            commit(BATCH)
            started = time.perf_counter()
            found = load(reader, Path(name), 8, save=False, fine=fine, last=last)
            engine = Engine(found.packed, 8, 256, found.ids)
            if found.fine is not None:
                Fine(engine, found.fine, np.float32(0.1))
            return time.perf_counter() - started, found

        by_code = median(refresh(fine=False, last=None)[0] for _ in range(given.rounds))
        first, last = refresh(fine=True, last=None)
        times = []
        for _ in range(given.rounds):
            seconds, last = refresh(fine=True, last=last)
            times.append(seconds)
        reader.close()
        writer.close()
    print(
        f"{count:,} pictures, a refresh: {1000 * by_code:.0f} ms by codes alone; with fine codes {1000 * first:.0f} ms "
        f"the first time, {1000 * median(times):.0f} ms then (medians of {given.rounds})"
    )


if __name__ == "__main__":
    main()

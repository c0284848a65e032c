"""Does the pool decode as fast as plain processes that hand nothing over?

    python benchmarks/decode_speed.py $SIGHTBOOK_DATA/clothing/photos --size 224 --jobs 2

The plain ones decode and frame a share of the pictures each and drop the pixels. Rounds alternate, so that other load
on the machine meets both alike; the CPU time, which such load hardly changes, is shown beside the rate.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

from sightbook.images.load.pool import Loaded, load
from sightbook.images.pixels.frame import Frame
from sightbook.images.sources import Entry, open_sources

_SHARE = """
import pickle, sys
from sightbook.images.load.pool import load
entries, frame = pickle.load(sys.stdin.buffer)
for picture in load(entries, frame, jobs=1):
    pass
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    frame = Frame(options.size, options.size)
    entries = list(open_sources([options.source]).entries())
    ways: dict[str, Callable[[list[Entry], Frame, int], None]] = {"plain processes": _plain, "pool": _pool}
    measured: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, run in ways.items():
            started, spent = time.perf_counter(), _cpu()
            run(entries, frame, options.jobs)
            measured[way].append((time.perf_counter() - started, _cpu() - spent))
    table = {
        way: {
            "pictures_per_second": len(entries) / median(seconds for seconds, _ in times),
            "cpu_microseconds_per_picture": median(cpu for _, cpu in times) / len(entries) * 1e6,
        }
        for way, times in measured.items()
    }
    if options.json:
        print(json.dumps({"pictures": len(entries), "jobs": options.jobs, "size": options.size, **table}))
        return
    print(f"{len(entries)} pictures, {options.jobs} jobs, {options.size} px")
    for way, row in table.items():
        print(
            f"{way:16} {row['pictures_per_second']:9.0f} pictures/s {row['cpu_microseconds_per_picture']:7.0f} µs CPU"
        )
    print(
        f"pool / plain     {table['pool']['pictures_per_second'] / table['plain processes']['pictures_per_second']:.2f}"
    )


def _plain(entries: list[Entry], frame: Frame, jobs: int) -> None:
    import pickle

    children = [subprocess.Popen([sys.executable, "-c", _SHARE], stdin=subprocess.PIPE) for _ in range(jobs)]
    for number, child in enumerate(children):
        share = entries[len(entries) * number // jobs : len(entries) * (number + 1) // jobs]
        assert child.stdin is not None
        child.stdin.write(pickle.dumps((share, frame)))
        child.stdin.close()
    for child in children:
        child.wait()


def _pool(entries: list[Entry], frame: Frame, jobs: int) -> None:
    good = sum(isinstance(outcome, Loaded) for outcome in load(entries, frame, jobs=jobs))
    assert good == len(entries), f"{len(entries) - good} pictures failed"


def _cpu() -> float:
    mine, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + theirs.ru_utime + theirs.ru_stime


if __name__ == "__main__":
    main()

"""How long does judging take, and how much memory? mAP@1000 of 10,000 queries on 50,000 random codes.

    python benchmarks/evaluate_speed.py [--queries 10000] [--database 50000] [--bits 64] [--jobs 2] [--json]

The target is under 20 s on 2 cores within 2 GiB. Codes are random and labels have ten classes: about the size of
CIFAR-10's protocol I without its pictures. "everything scored" is the way of full rankings and of junk rules.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time

import numpy as np

from sightbook.cores import cores
from sightbook.evaluate.judge import judge
from sightbook.evaluate.ranking import Ranker, code_ranker, code_scorer, rank
from sightbook.evaluate.relevance import Truth

CLASSES = 10


def main() -> None:
    """Measures and prints one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--database", type=int, default=50_000)
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--R", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=cores())
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    M, K = options.bits // 4, 16
    tables = random.standard_normal((options.queries, M, K), dtype=np.float32)
    codes = random.integers(0, K, (options.database, M), dtype=np.uint8)
    truth = Truth(*(random.integers(0, CLASSES, n) for n in (options.queries, options.database)))
    score = code_scorer(tables, codes)
    ways: dict[str, Ranker] = {
        "engine": code_ranker(tables, codes),
        "everything scored": lambda start, stop, depth, junk: rank(score(start, stop), depth, junk),
    }
    rows = []
    for way, ranker in ways.items():
        started, spent = time.perf_counter(), time.process_time()
        result = judge(ranker, truth, name="hits-in-top-R", R=options.R, jobs=options.jobs)
        seconds, cpu = time.perf_counter() - started, time.process_time() - spent
        rows.append(
            {"way": way, "seconds": seconds, "cpu_seconds": cpu, "peak_MiB": _peak_mib(), "map": result.map}
        )
    if options.json:
        print(json.dumps({**vars(options), "rows": rows}))
        return
    print(
        f"{options.queries} x {options.database}, {options.bits} bits, mAP@{options.R}, {options.jobs} threads"
    )
    print(f"{'':20} {'seconds':>8} {'CPU s':>8} {'peak MiB':>9} {'mAP':>8}")
    for row in rows:
        print(
            f"{row['way']:20} {row['seconds']:8.1f} {row['cpu_seconds']:8.1f} {row['peak_MiB']:9.0f} {row['map']:8.4f}"
        )


def _peak_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 / (1024 if sys.platform == "darwin" else 1)


if __name__ == "__main__":
    main()

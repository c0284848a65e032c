"""What learning a description costs: seconds and memory beyond an idle process, for 1k to 1M vectors.

    python benchmarks/describe_speed.py FEATURES.npz [--counts 1000 5000 50000 1000000]

FEATURES.npz holds `f` (N, F) of a network. Larger collections are made of it by adding noise. Each count runs in a
process of its own, over a mapped float16 file.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

_ROWS = 50_000


def main() -> None:
    """Prints a line for each count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("features", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 5_000, 50_000, 1_000_000])
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(measure(given.features)))
        return
    real = np.load(given.features, allow_pickle=False)["f"]
    rows = []
    for count in given.counts:
        with tempfile.TemporaryDirectory() as folder:
            file = write(real, count, Path(folder) / "vectors.npy")
            command = [sys.executable, __file__, str(file), "--child"]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        made = "" if count <= len(real) else f", {count - len(real):,} of them made by adding noise"
        rows.append({"vectors": count, "numbers": real.shape[1], **found})
        print(
            f"{count:>9,} × {real.shape[1]}: {found['seconds']:6.1f} s ({found['description']:.1f} s the description), "
            f"{found['mebibytes']:,.0f} MiB{made}",
            flush=True,
        )
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


def write(real: np.ndarray, count: int, path: Path) -> Path:
    """`count` vectors as float16, the real ones first, then those with noise of a third of each number's deviation."""
    out = np.lib.format.open_memmap(path, "w+", np.float16, (count, real.shape[1]))
    random, spread = np.random.default_rng(0), real.std(axis=0) / 3
    for start in range(0, count, _ROWS):
        size = min(_ROWS, count - start)
        part = (
            real[random.integers(len(real), size=size)] if start >= len(real) else real[start : start + size]
        )
        part = np.resize(part, (size, real.shape[1]))
        noise = random.standard_normal(part.shape, np.float32) * spread if start >= len(real) else 0
        out[start : start + size] = part + noise
    out.flush()
    return path


def measure(path: Path) -> dict[str, float]:
    """Seconds and MiB of `fit` on a mapped file, beyond what importing takes."""
    from sightbook.model.fit import fit

    rows = np.load(path, mmap_mode="r", allow_pickle=False)
    fit(np.random.default_rng(0).normal(size=(300, 32)), 16)  # imports, threads
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    facts = fit(rows, 64).facts
    seconds = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {
        "seconds": round(seconds, 1), "description": facts["seconds_description"],
        "mebibytes": round(used / 1024), "distinct": facts["distinct"],
    }  # fmt: skip


if __name__ == "__main__":
    main()

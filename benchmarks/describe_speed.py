"""What learning a description costs: seconds and memory, for 1k to 1M vectors.

    python benchmarks/describe_speed.py FEATURES.npz [--counts 1000 5000 50000 1000000]

FEATURES.npz holds `f` (N, F) of a network. Larger collections are made of it by adding noise. Each count runs in a
process of its own, over a mapped float16 file, and two peaks of that process are told: of its own (anonymous) memory,
which the machine must have, and of all that was resident, the mapped file among it, which the system takes back when it
needs room. Linux only: both are read from /proc.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

_ROWS = 50_000
_PAUSE = 0.01  # seconds between two looks at a process's memory


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
            found = watch(command)
        made = "" if count <= len(real) else f", {count - len(real):,} of them made by adding noise"
        rows.append({"vectors": count, "numbers": real.shape[1], **found})
        print(
            f"{count:>9,} × {real.shape[1]}: {found['seconds']:6.1f} s ({found['description']:.1f} s the description), "
            f"{found['anonymous']:,.0f} MiB of its own at most (idle {found['idle']:,.0f}), "
            f"{found['resident']:,.0f} with the mapped file{made}",
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
        places = np.arange(start, start + size)
        made = places >= len(real)
        part = real[np.where(made, random.integers(len(real), size=size), places % len(real))]
        noise = random.standard_normal(part.shape, np.float32) * spread * made[:, None]
        out[start : start + size] = part + noise
    out.flush()
    return path


def watch(command: list[str]) -> dict[str, float]:
    """What the child of `command` found, and the peak of its anonymous memory in MiB.

    Looked at from here: a thread of the child would wait while another computes.
    """
    anonymous = 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        while child.poll() is None:
            anonymous = max(anonymous, mebibytes("RssAnon", child.pid))
            time.sleep(_PAUSE)
        if child.returncode:
            raise SystemExit(child.returncode)
        return {**json.loads(child.stdout.read()), "anonymous": anonymous}


def mebibytes(field: str, process: int | str = "self") -> float:
    """A field of /proc/…/status; 0 where the process has just ended."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return round(sum(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024)


def measure(path: Path) -> dict[str, float]:
    """Seconds of `fit` on a mapped file; in MiB, its anonymous memory before, and its resident peak from then on.

    Not ru_maxrss: that begins at what the parent had.
    """
    from sightbook.model.fit import fit

    rows = np.load(path, mmap_mode="r", allow_pickle=False)
    fit(np.random.default_rng(0).normal(size=(300, 32)), 16)  # imports, threads
    idle = mebibytes("RssAnon")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
    started = time.perf_counter()
    facts = fit(rows, 64).facts
    seconds = time.perf_counter() - started
    return {
        "seconds": round(seconds, 1), "description": facts["seconds_description"],
        "distinct": facts["distinct"], "idle": idle, "resident": mebibytes("VmHWM"),
    }  # fmt: skip


if __name__ == "__main__":
    main()

"""What do a large library's daily doings cost? Opening, searching, removing, adding the same folder again; memory.

Run:  python benchmarks/library_speed.py MODEL PICTURE [--pictures 1000000] [--files 100000] [--runs 5] [--json FILE]
A temporary library gets `--pictures` rows with random codes. Each search is a process of its own: it opens the library,
encodes the picture and answers; the median on a warm file cache is told, and the memory it holds beyond a process that
searches a library of 10,000 rows. Then a hundredth of the rows are removed, once by ids and once as a folder. Another
library holds `--files` small files, which `add` finds unchanged.
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
from typing import Any

import numpy as np

from sightbook.catalogue.catalogue import NAME, Catalogue
from sightbook.catalogue.rows import PictureRow
from sightbook.images.pixels.about import About
from sightbook.library.library import Library

# Prints what is resident when the answer is there: seconds since the process began are the parent's to take.
PROGRAM = """
import sys
from sightbook import Library
with Library.open(sys.argv[1]) as library:
    hits = library.search(sys.argv[2], k=10)
    resident = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmRSS")][0]
print(len(hits), int("torch" in sys.modules), resident)
"""
BATCH = 5000
FEW = 10_000  # pictures of the library that memory is compared with: enough to be searched by faiss


def main() -> None:
    """Measures and prints a line for each doing."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("model", type=Path)
    options.add_argument("picture", type=Path)
    options.add_argument("--pictures", type=int, default=1_000_000)
    options.add_argument("--files", type=int, default=100_000)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    figures: dict[str, Any] = {"pictures": given.pictures, "files": given.files}
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "few", Path(folder) / "many"
        make(small, given.model, FEW)
        make(large, given.model, given.pictures)
        with Library.open(large) as library:
            figures["bits"] = library.facts.bits
        figures["first_answer"] = answered(large, given.picture, 1)[0]
        figures["answer"], resident = answered(large, given.picture, given.runs)
        alone = answered(small, given.picture, 2)[1]
        figures["bytes_a_picture"] = (resident - alone) / (given.pictures - FEW)
        print(
            f"{given.pictures:,} pictures, {figures['bits']} bits: process start to answer {figures['answer']:.3f} s "
            f"(without its cache {figures['first_answer']:.3f} s); {figures['bytes_a_picture']:.1f} bytes a picture "
            f"resident beyond those of a library of {FEW:,}",
            flush=True,
        )
        figures |= removed(large, given.pictures)
        print(
            f"removing {given.pictures // 100:,} of them: by ids {figures['remove_ids']:.2f} s, "
            f"as a folder {figures['remove_folder']:.2f} s",
            flush=True,
        )
        figures["add_unchanged"] = again(Path(folder), given.model, given.files)
        print(f"add of {given.files:,} unchanged files: {figures['add_unchanged']:.2f} s", flush=True)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n")


def make(library: Path, model: Path, count: int) -> None:
    """A library of `count` rows with random codes, a hundredth of them in each of its folders."""
    part = max(1, count // 100)
    rows = (
        PictureRow("made", f"{n // part:03}/{n:09}.jpg", 1, 1, n.to_bytes(16), About(32, 32), b"")
        for n in range(count)
    )
    fill(library, model, Path("/made"), rows)


def fill(library: Path, model: Path, root: Path, rows: Any) -> None:
    """A library whose one source stands at `root` and has these rows, each with a random code."""
    with Library.open(library, create_with=model) as made:
        width = made.facts.code_bytes
    rng = np.random.default_rng(0)
    catalogue = Catalogue.write(library / NAME)
    catalogue.put_source("made", "folder", str(root), 0.0)
    batch: list[PictureRow] = []
    for row in rows:
        batch.append(row._replace(code=rng.bytes(width)))
        if len(batch) == BATCH:
            catalogue.put(batch)
            batch = []
    catalogue.put(batch)
    catalogue.close()


def answered(library: Path, picture: Path, runs: int) -> tuple[float, int]:
    """Median seconds from the start of a process to its answer, and the bytes resident then."""
    seconds, resident = [], 0
    for _ in range(runs):
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(library), str(picture)],
            check=True,
            capture_output=True,
            text=True,
        )
        seconds.append(time.perf_counter() - started)
        hits, torch, kib = done.stdout.split()
        assert (int(hits) > 0, torch) == (True, "0"), "no answer, or torch was imported"
        resident = 1024 * int(kib)
    return statistics.median(seconds), resident


def removed(library: Path, count: int) -> dict[str, float]:
    """Seconds to remove a hundredth of the pictures by ids spread over all of them, and as many as one folder."""
    part = count // 100
    with Library.open(library) as opened:
        ids = np.random.default_rng(0).permutation(opened.codes()[0])[:part].tolist()
        started = time.perf_counter()
        assert opened.remove(ids) == part
        by_ids = time.perf_counter() - started
        started = time.perf_counter()
        assert opened.remove("042") > part // 2
        return {"remove_ids": by_ids, "remove_folder": time.perf_counter() - started}


def again(folder: Path, model: Path, count: int) -> float:
    """Seconds `add` takes to find out that nothing has changed in a folder of `count` files."""
    photos, library = folder.resolve() / "photos", folder / "unchanged"
    names = [f"{n // 1000:03}/{n:06}.jpg" for n in range(count)]
    for name in names:
        file = photos / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"not looked into, as size and time tell that it is as it was")
    stats = ((name, (photos / name).stat()) for name in names)
    rows = (
        PictureRow("made", name, stat.st_size, stat.st_mtime_ns, name.encode().ljust(16), About(32, 32), b"")
        for name, stat in stats
    )
    fill(library, model, photos, rows)
    with Library.open(library) as opened:
        started = time.perf_counter()
        report = opened.add([photos])
        seconds = time.perf_counter() - started
    assert report.unchanged == count, report
    return seconds


if __name__ == "__main__":
    main()

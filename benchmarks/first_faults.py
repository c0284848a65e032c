"""Does the first `add`, which learns its model, survive? kill -9 and Ctrl-C at any moment, a full and a failing disk.

    python benchmarks/first_faults.py [--runs 60] [--seed 0] [--work FOLDER]

Each run types `sightbook add LIBRARY PHOTOS` for a library that is not there yet, and stops it: by a signal at a random
moment of the time that a whole one takes, or by a disk that answers "no space left" or "input/output error" from a
random write below LIBRARY on (gcc needed; `faults.py` has the library of C). What stopped must say one sentence, and
the same command typed again must end well: every picture in, each its own best answer, nothing left over.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from faults import _shim  # noqa: E402

from sightbook.library.care.check import check  # noqa: E402
from sightbook.library.library import Library  # noqa: E402
from tests.pictures import write_photos  # noqa: E402

PICTURES = 24
FAULTS = {"kill -9": signal.SIGKILL, "Ctrl-C": signal.SIGINT, "no space left": 28, "input/output error": 5}
WHOLE = {"cache", "catalogue.sqlite", "library.json", "model", "writer.lock"}


def main() -> None:
    """Runs the campaign and prints one table; leaves with 1 when anything was lost."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--runs", type=int, default=60)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--work", type=Path)
    given = options.parse_args()
    work = given.work or Path(tempfile.mkdtemp(prefix="first-faults-"))
    photos = work / "Fotos ä"
    write_photos(photos, PICTURES)
    shim = _shim(work)
    known = [fault for fault in FAULTS if shim or not fault.endswith(("left", "error"))]
    whole = _seconds(work / "whole", photos)
    outcomes: Counter[tuple[str, str]] = Counter()
    for number in range(given.runs):
        chance = random.Random(f"{given.seed} {number}")
        fault = chance.choice(known)
        library = work / "library"
        shutil.rmtree(library, ignore_errors=True)
        try:
            outcomes[fault, _stopped(library, photos, fault, chance, (whole, shim))] += 1
            _go_on(library, photos)
        except AssertionError as error:
            outcomes[fault, "lost"] += 1
            print(f"run {number} ({fault}): {error}", flush=True)
    print(f"{'fault':20} {'stopped':>8} {'ended before':>13} {'lost':>5}")
    for fault in known:
        print(
            f"{fault:20} "
            + "{:8} {:13} {:5}".format(*(outcomes[fault, each] for each in ("hit", "late", "lost")))
        )
    if not given.work:
        shutil.rmtree(work)
    sys.exit(any(what == "lost" for _, what in outcomes))


def _command(library: Path, photos: Path) -> list[str]:
    return [sys.executable, "-m", "sightbook", "add", str(library), str(photos), "--jobs", "1"]


def _seconds(library: Path, photos: Path) -> float:
    started = time.monotonic()
    subprocess.run(_command(library, photos), check=True, capture_output=True)
    return time.monotonic() - started


def _stopped(
    library: Path, photos: Path, fault: str, chance: random.Random, known: tuple[float, Path | None]
) -> str:
    """Begins an `add` and stops it: "hit" when it did not end well, "late" when it had ended."""
    whole, shim = known
    environment, number = dict(os.environ), FAULTS[fault]
    by_disk = not isinstance(number, signal.Signals)
    if by_disk:
        environment |= {
            "LD_PRELOAD": str(shim),
            "FAULT_BELOW": str(library),
            "FAULT_AFTER": str(int(60 * chance.random() ** 2)),
            "FAULT_ERRNO": str(number),
        }
    child = subprocess.Popen(
        _command(library, photos), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    if not by_disk:
        time.sleep(chance.uniform(0.1, 1.05) * whole)
        child.send_signal(number)
    _, said = child.communicate(timeout=300)
    text = said.decode(errors="replace")
    assert "Traceback" not in text and "a bug in sightbook" not in text, f"it said: {text[-600:]}"
    if child.returncode == 0:
        return "late"
    wanted = {"kill -9": -9, "Ctrl-C": 130}.get(fault)
    assert wanted is None or child.returncode in (wanted, -2), f"left with {child.returncode}: {text[-300:]}"
    assert not by_disk or "disk" in text, f"the disk is not named: {text[-400:]}"
    return "hit"


def _go_on(library: Path, photos: Path) -> None:
    """The same command again ends well; AssertionError says what is wrong."""
    done = subprocess.run(_command(library, photos), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"the next add left with {done.returncode}: {done.stderr[-400:]}"
    left = {path.name for path in library.iterdir()} - WHOLE
    assert not left, f"left over: {sorted(left)}"
    broken = [finding.text for finding in check(library) if finding.verdict == "broken"]
    assert not broken, f"check: {broken}"
    with Library.open(library) as opened:
        assert len(opened) == PICTURES, f"{len(opened)} of {PICTURES} pictures"
        for path in sorted(photos.rglob("*.jpg")):
            hit = opened.search(path, k=1)[0]
            assert hit.score == 1, f"{path.name} is not its own best answer ({hit.path}, {hit.score})"


if __name__ == "__main__":
    main()

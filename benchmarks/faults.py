"""Does a library survive? kill -9 at random moments, a full disk and a failing disk, while it is written.

    python benchmarks/faults.py [--runs 300] [--seed 0] [--work FOLDER]

Each run makes a library of tiny pictures, changes the folder (new, changed, renamed, deleted files), begins add, prune,
remove, migrate or compact in a process of its own, and lets it be killed at a random moment, or lets the disk answer
"no space left" or "input/output error" from a random write on (a small library of C in front of write, pwrite,
ftruncate and fsync; needs gcc). The model, and the one that is migrated to, have fine codes or have none, by chance.
Afterwards the library must open, hold every row whose batch was acknowledged, with the code and fine code of its
content, pass `check`, and after the next `add` hold and answer what a fresh build does.
"""

from __future__ import annotations

import argparse
import contextlib
import io
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

sys.path.insert(0, str(Path(__file__).parent.parent))  # the tests' tiny model

import numpy as np
from PIL import Image

from sightbook.catalogue.catalogue import Catalogue
from sightbook.errors import SightbookError
from sightbook.images.load.pool import digest
from sightbook.ingest import commit
from sightbook.ingest.migrate import migrate
from sightbook.library.care.check import check
from sightbook.library.care.compact import compact
from sightbook.library.library import Library
from sightbook.model.model import Model

OPERATIONS = ("add", "prune", "remove", "migrate", "compact")
FAULTS = ("kill", "kill", "kill", "ENOSPC", "EIO")
PICTURES = 24

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>
static long left = -1;
static int code, persistent = 1;
static const char *below;
__attribute__((constructor)) static void begin(void) {
    const char *text = getenv("FAULT_AFTER");
    below = getenv("FAULT_BELOW");
    if (text && below) { left = atol(text); code = atoi(getenv("FAULT_ERRNO")); }
}
static int fails(int fd) {
    char link[64], path[PATH_MAX + 1];
    if (left < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX);
    if (n <= 0) return 0;
    path[n] = 0;
    if (strncmp(path, below, strlen(below))) return 0;
    if (left > 0) { left--; return 0; }
    errno = code;
    return 1;
}
#define REAL(type, name, ...) static type (*real)(__VA_ARGS__); if (!real) real = dlsym(RTLD_NEXT, name)
ssize_t write(int fd, const void *b, size_t n) {
    REAL(ssize_t, "write", int, const void *, size_t); return fails(fd) ? -1 : real(fd, b, n); }
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) {
    REAL(ssize_t, "pwrite", int, const void *, size_t, off_t); return fails(fd) ? -1 : real(fd, b, n, o); }
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t o) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t); return fails(fd) ? -1 : real(fd, b, n, o); }
int ftruncate(int fd, off_t n) { REAL(int, "ftruncate", int, off_t); return fails(fd) ? -1 : real(fd, n); }
int ftruncate64(int fd, off64_t n) { REAL(int, "ftruncate64", int, off64_t); return fails(fd) ? -1 : real(fd, n); }
int fsync(int fd) { REAL(int, "fsync", int); return fails(fd) ? -1 : real(fd); }
int fdatasync(int fd) { REAL(int, "fdatasync", int); return fails(fd) ? -1 : real(fd); }
"""


def main() -> None:
    """Runs the campaign and prints one table; leaves with 1 when anything was lost."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--runs", type=int, default=300)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--work", type=Path)
    options.add_argument("--child", nargs=4, metavar=("OPERATION", "LIBRARY", "PHOTOS", "MODEL"))
    given = options.parse_args()
    if given.child:
        operation, *paths = given.child
        _child(operation, *map(Path, paths))
        return
    from tests.tiny import tiny_described, tiny_model

    work = given.work or Path(tempfile.mkdtemp(prefix="faults-"))
    work.mkdir(parents=True, exist_ok=True)
    folders = [tiny_model(work / f"model{n}", seed=n, M=4 + 4 * n) for n in (0, 1)]
    folders += [tiny_described(work / f"fine{n}", seed=n, bits=32 + 32 * n) for n in (0, 1)]
    models = [Model.open(folder, threads=1) for folder in folders]
    shim = _shim(work)
    campaign = Campaign(work, models, shim)
    outcomes: Counter[tuple[str, str, str]] = Counter()
    lost: list[str] = []
    for number in range(given.runs):
        chance = random.Random(f"{given.seed} {number}")
        operation = chance.choice(OPERATIONS)
        fault = chance.choice(FAULTS if shim else ("kill",))
        try:
            outcomes[operation, fault, campaign.run(number, chance, operation, fault)] += 1
        except AssertionError as error:
            lost.append(f"run {number} ({operation}, {fault}): {error}")
            print(lost[-1], flush=True)
            outcomes[operation, fault, "LOST"] += 1
    print(f"{'operation':10} {'fault':8} {'hit':>5} {'ended before':>13} {'lost':>5}")
    for operation in OPERATIONS:
        for fault in dict.fromkeys(FAULTS):
            hit, late, bad = (outcomes[operation, fault, name] for name in ("hit", "late", "LOST"))
            if hit + late + bad:
                print(f"{operation:10} {fault:8} {hit:5} {late:13} {bad:5}")
    hits = sum(count for (_, _, name), count in outcomes.items() if name != "late")
    print(f"{given.runs} runs, {hits} of them hit; {len(lost)} losses (seed {given.seed})")
    if not given.work:
        shutil.rmtree(work)
    sys.exit(bool(lost))


class Campaign:
    """What all runs share: models, pictures by digest, and how long an operation usually takes."""

    def __init__(self, work: Path, models: list[Model], shim: Path | None) -> None:
        self.work, self.models, self.shim = work, models, shim
        self.pictures: dict[bytes, bytes] = {}
        self.codes: dict[tuple[str, bytes], bytes] = {}
        self.seconds: dict[str, float] = {}
        self.writes: dict[str, int] = {}

    def run(self, number: int, chance: random.Random, operation: str, fault: str) -> str:
        """One run: "hit" when the fault came in time, "late" when the operation had ended. AssertionError: a loss."""
        place = self.work / "run"
        shutil.rmtree(place, ignore_errors=True)
        photos, library = place / "Fotos ä", place / "library"
        photos.mkdir(parents=True)
        # No two alike: of equal pictures either may be taken for the one that moved.
        for n, seed in enumerate(chance.sample(range(1000), PICTURES)):
            self._write(photos / f"{n:02}.png", seed, n)
        old, new = chance.sample(self.models, 2)
        with Library.open(library, create_with=old) as opened:
            opened.add([photos], jobs=1)
        before = self._held(library)
        self._change(photos, chance)
        command = [
            sys.executable,
            __file__,
            "--child",
            operation,
            str(library),
            str(photos),
            str(new.folder),
        ]
        environment = dict(os.environ)
        if fault != "kill":
            assert self.shim is not None
            environment |= {
                "LD_PRELOAD": str(self.shim),
                "FAULT_BELOW": str(library),
                "FAULT_AFTER": str(chance.randrange(60)),
                "FAULT_ERRNO": "28" if fault == "ENOSPC" else "5",
            }
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        assert child.stdout is not None and child.stderr is not None
        first = child.stdout.readline()  # imports are done
        assert first == b"ready\n", child.stderr.read().decode()
        started = time.monotonic()
        if fault == "kill":
            time.sleep(chance.random() * 1.1 * self.seconds.get(operation, 0.2))
            child.send_signal(signal.SIGKILL)
        told, complaints = child.communicate(timeout=120)
        if child.returncode == 0:
            self.seconds[operation] = time.monotonic() - started
        hit = child.returncode != 0
        if fault != "kill" and hit:
            # A full or failing disk is said in a sentence, not by a traceback.
            assert child.returncode == 3, f"left with {child.returncode}: {complaints.decode()[-400:]}"
        self._verify(library, photos, before, told.decode().splitlines(), operation)
        return "hit" if hit else "late"

    def _verify(
        self, library: Path, photos: Path, before: dict[str, bytes], told: list[str], operation: str
    ) -> None:
        with Library.open(library) as opened:
            held = self._held(library)
            put, gone = {}, set()
            for line in told:
                what, _, rest = line.partition(" ")
                if what == "put":
                    path, code = rest.rsplit(" ", 1)
                    put[path] = bytes.fromhex(code)
                elif what == "gone":
                    gone.add(rest)
            for path, code in put.items():
                assert held.get(path) == code, f"{path} was acknowledged and is not there"
            if operation == "compact":
                assert held == before, "codes changed"
            if operation == "migrate":  # which follows renamed files, and knows no others
                there = {path.name for path in photos.glob("*.png")}
                renamed = {name: name.replace(".png", " moved.png") for name in before}
                now = {renamed[name] if renamed[name] in there else name for name in before}
                assert held.keys() in (before.keys(), now, now & there), "pictures appeared or vanished"
            for path in before.keys() - held.keys():
                assert operation in ("add", "prune", "remove", "migrate"), f"{path} vanished"
            # Not the library's own, whose folder is renamed when a swap is finished.
            (model,) = (each for each in self.models if each.fingerprint == opened.model.fingerprint)
            pictures = sorted(photos.glob("*.png"))
            assert len(opened.search(pictures[0], 3)) == min(3, len(opened))
            for path, digested in self._digests(opened).items():
                whole = self._code(model, self.pictures[digested])
                assert held[path] == whole, f"{path} has not the code and fine code of its content"
        findings = check(library)
        broken = [finding.text for finding in findings if finding.verdict == "broken"]
        assert not broken, f"check: {broken}"
        with Library.open(library) as opened:
            opened.add([photos], jobs=1, prune=True)
        wanted = {path.name: self._code(model, path.read_bytes()) for path in pictures}
        assert self._held(library) == wanted, "the next add does not give what a fresh build gives"
        fresh = library.with_name("fresh")
        with Library.open(fresh, create_with=model) as other, Library.open(library) as opened:
            other.add([photos], jobs=1)
            for query in pictures[:3]:
                ours, theirs = (
                    sorted((hit.raw, hit.path) for hit in each.search(query, len(pictures)))
                    for each in (opened, other)
                )
                assert ours == theirs, "a search does not answer as in a fresh build"

    def _held(self, library: Path) -> dict[str, bytes]:
        """By path the code, and behind it the fine code where such are kept."""
        with Library.open(library) as opened:
            pages = opened.rows(1000, fine=opened.facts.fine_bytes > 0)
            return {row[2]: b"".join(row[5:]) for rows in pages for row in rows}

    def _digests(self, opened: Library) -> dict[str, bytes]:
        return {row[2]: row[4] for rows in opened.rows(1000) for row in rows}

    def _code(self, model: Model, data: bytes) -> bytes:
        key = (model.fingerprint, digest(data))
        if key not in self.codes:
            x = model.embed(model.prepare(data)[None])
            fine = model.fine(x).tobytes() if model.fine_bytes else b""
            self.codes[key] = model.pack(model.assign(x)).tobytes() + fine
        return self.codes[key]

    def _write(self, path: Path, seed: int, clock: int) -> None:
        pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        path.write_bytes(buffer.getvalue())
        self.pictures[digest(buffer.getvalue())] = buffer.getvalue()
        os.utime(path, ns=(clock * 10**9, clock * 10**9))

    def _change(self, photos: Path, chance: random.Random) -> None:
        names = sorted(photos.glob("*.png"))
        chance.shuffle(names)
        for path in names[:4]:
            self._write(path, 2000 + chance.randrange(1000), 100)
        for path in names[4:7]:
            path.rename(path.with_stem(path.stem + " moved"))
        for path in names[7:10]:
            path.unlink()
        for n in range(10):
            self._write(photos / f"new {n}.png", 4000 + chance.randrange(1000), 200 + n)


def _child(operation: str, library: Path, photos: Path, model: Path) -> None:
    """The operation, with small batches, each told on standard output once it is committed."""
    commit.BATCH = 4
    put = Catalogue.put

    def telling(self: Catalogue, pictures, failures=(), gone=()):  # type: ignore[no-untyped-def]
        put(self, pictures, failures, gone)
        for row in pictures:
            print("put", row.path, (row.code + row.fine).hex(), flush=True)

    Catalogue.put = telling  # type: ignore[method-assign]
    new = Model.open(model, threads=1)
    Model.open(library / "model", threads=1).embed(np.zeros((1, 16, 16, 3), np.uint8))
    print("ready", flush=True)
    try:
        if operation == "migrate":
            migrate(library, new, jobs=1)
        elif operation == "compact":
            with Library.open(library) as opened:
                opened.remove([])
            compact(library)
        else:
            with Library.open(library) as opened:
                if operation == "remove":
                    opened.remove(
                        [f"{n:02}.png" for n in range(3, 8) if (photos / f"{n:02}.png").exists()] or ["*"]
                    )
                else:
                    opened.add([photos], jobs=1, prune=operation == "prune")
    except (SightbookError, OSError) as error:
        with contextlib.suppress(OSError):
            print(error, file=sys.stderr)
        os._exit(3)


def _shim(work: Path) -> Path | None:
    """The library of C, compiled; None where there is no compiler or another system than Linux."""
    if sys.platform != "linux" or shutil.which("gcc") is None:
        print("no gcc here: kills only")
        return None
    source, target = work / "shim.c", work / "shim.so"
    source.write_text(SHIM)
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", target, source, "-ldl"], check=True)
    return target


if __name__ == "__main__":
    main()

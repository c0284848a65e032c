"""Does a reader ever see half a batch? One process adds pictures while another searches, against the oracle.

Run:  python benchmarks/two_processes.py MODEL SOURCE [--pictures 5000] [--searches 2000] [--json FILE]
The writer commits batches of 64 pictures of SOURCE and says which id each of them ended with. The reader searches all
the while, with embeddings of other pictures, at least `--searches` times and until the writer has ended. Afterwards
every answer must be, in ids and score bits, the oracle's on one of the committed states, and those states must follow
one another. Where MODEL has fine codes, the answers and the oracle's go by these, too.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from sightbook.codes import oracle
from sightbook.images.load.pool import Loaded, load
from sightbook.images.sources import open_sources
from sightbook.library.library import Library
from sightbook.model.model import Model

K = 10
QUERIES = 50

# Writes "pictures committed" after each batch; the pictures are copied into a folder beforehand.
WRITER = """
import sys
from sightbook.ingest import commit
from sightbook.catalogue.catalogue import Catalogue
from sightbook.library.library import Library
commit.BATCH = 64
put = Catalogue.put
def told(catalogue, *batch):
    put(catalogue, *batch)
    print(catalogue.connection.execute("SELECT max(id) FROM pictures").fetchone()[0], flush=True)
Catalogue.put = told
with Library.open(sys.argv[1]) as library:
    library.add([sys.argv[2]], jobs=1)
"""


def main() -> None:
    """Runs both processes, then compares."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("model", type=Path)
    options.add_argument("source", type=Path)
    options.add_argument("--pictures", type=int, default=5000)
    options.add_argument("--searches", type=int, default=2000)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    model = Model.open(given.model)
    with tempfile.TemporaryDirectory() as name:
        folder, library = Path(name) / "photos", Path(name) / "library"
        folder.mkdir()
        entries = list(itertools.islice(open_sources([given.source]).entries(), given.pictures + QUERIES))
        for number, entry in enumerate(entries[QUERIES:]):
            (folder / f"{number:06}.jpg").write_bytes(entry.read())
        pixels = [one.pixels for one in load(entries[:QUERIES], model.frame) if isinstance(one, Loaded)]
        x = model.embed(np.stack(pixels))
        tables = model.tables(x)
        answers: list[tuple[int, list[int], np.ndarray]] = []
        with Library.open(library, create_with=given.model) as reader:
            writer = subprocess.Popen(
                [sys.executable, "-c", WRITER, str(library), str(folder)], stdout=subprocess.PIPE, text=True
            )
            started = time.perf_counter()
            while writer.poll() is None or len(answers) < given.searches:
                q = len(answers) % len(x)
                hits = reader.search_embeddings(x[q : q + 1], k=K)
                answers.append((q, [hit.id for hit in hits], np.array([hit.raw for hit in hits], np.float32)))
            seconds = time.perf_counter() - started
            ids, packed = reader.codes()
            finely = bool(reader.facts.fine_bytes)
            rows = [row[-1] for page in reader.rows(10_000, fine=finely) for row in page]
        assert writer.stdout is not None
        ends = [0, *map(int, writer.stdout.read().split())]
    if writer.returncode:
        raise SystemExit("the writer failed")
    codes = model.unpack(packed)
    states = [int(np.searchsorted(ids, end, side="right")) for end in ends]

    def best(q: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        if not finely:
            return oracle.search(tables[q : q + 1], codes[:count], K, ids[:count])
        fine, asked, gain = np.frombuffer(b"".join(rows), np.int8), model.fine(x[q : q + 1]), model.fine_gain
        some = fine.reshape(len(ids), -1)[:count]
        return oracle.fine_search(
            tables[q : q + 1], codes[:count], asked, some, gain=gain, k=K, ids=ids[:count]
        )

    truth = [[best(q, count) for count in states] for q in range(len(x))]
    torn = backwards = 0
    state, seen = 0, set()
    for q, found, scores in answers:
        fitting = [
            place
            for place, (right, raw) in enumerate(truth[q])
            if right[0].tolist() == found and np.array_equal(raw[0].view(np.int32), scores.view(np.int32))
        ]
        later = [place for place in fitting if place >= state]
        torn += not fitting
        backwards += bool(fitting) and not later
        state = later[0] if later else state
        seen.add(state)
    print(
        f"{len(codes):,} pictures in {len(states) - 1} batches while {len(answers):,} searches were answered in "
        f"{seconds:.1f} s, of at least {len(seen)} states: {torn} torn, {backwards} of an earlier state than before"
    )
    if given.json:
        figures = {"pictures": len(codes), "searches": len(answers), "torn": torn, "backwards": backwards}
        given.json.write_text(json.dumps(figures, indent=2) + "\n")
    if torn or backwards or len(codes) != len(entries) - QUERIES:
        raise SystemExit("readers saw what no writer committed")


if __name__ == "__main__":
    main()

"""How fast is exact search, one query on one thread? The engine beside what faiss offers for the same bits.

Run:  python benchmarks/search.py [--n 1000000] [--bits 64 16] [--queries 200] [--k 100] [--json FILE]
Codes and queries are random. Every contender answers the same queries in rounds of ten, one contender after the other,
so that a disturbance of the machine meets all of them. Times are medians over the queries, by the clock and by the
thread's processor time (which leaves out what other programs took); a ratio is the median over the rounds of
(contender's median / engine's median). Every answer of the engine is compared with the oracle, ids and score bits.

The contenders: `raw FastScan` is IndexPQFastScan over identity codebooks, 2k candidates and a plain re-score in NumPy,
neither certified nor tie-aware, with faiss's blocks of 32 codes and with the engine's; `IndexPQ` has M = bits/8 and
K = 256; `IndexFlatIP` is brute force over float32 embeddings of 128 dimensions.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from sightbook.codes import oracle
from sightbook.codes.engine import Engine
from sightbook.codes.pack import pack, unpack
from sightbook.codes.sieve import BLOCK
from sightbook.codes.tables import tables

D = 128
ROUND = 10  # queries a contender answers before the next one's turn; one more, unmeasured, warms the caches

Answer = tuple[np.ndarray, np.ndarray]


def main() -> None:
    """Measures and prints one table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--n", type=int, default=1_000_000, help="codes")
    options.add_argument("--bits", type=int, nargs="+", default=[64, 16], choices=[16, 32, 64, 128])
    options.add_argument("--queries", type=int, default=200)
    options.add_argument("--k", type=int, default=100)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    faiss.omp_set_num_threads(1)
    print(f"{given.n:,} codes, k = {given.k}, {given.queries} queries, one thread; faiss {faiss.__version__}")
    print(
        f"{'bits':>4}  {'contender':<24} {'ms/query':>9} {'/ engine':>9} {'cpu ms':>9} {'/ engine':>9} {'same ids':>9}"
    )
    rows: list[dict[str, Any]] = []
    for bits in given.bits:
        rows += measure(given.n, bits, given.queries, given.k)
    if given.json:
        about = {
            "n": given.n,
            "k": given.k,
            "queries": given.queries,
            "threads": 1,
            "faiss": faiss.__version__,
        }
        given.json.write_text(
            json.dumps({**about, "machine": platform.machine(), "rows": rows}, indent=2) + "\n"
        )


def measure(n: int, bits: int, queries: int, k: int) -> list[dict[str, Any]]:
    """One block of the table: every contender at one number of bits."""
    rng = np.random.default_rng(0)
    M = bits // 4
    codes = rng.integers(0, 16, (n, M), dtype=np.uint8)
    packed, ids = pack(codes, 16), np.arange(n, dtype=np.int64)
    x = rng.standard_normal((queries, D), dtype=np.float32)
    books = rng.standard_normal((M, 16, D // M), dtype=np.float32)
    table = tables(x, books)

    started = time.perf_counter()
    engine = Engine(packed, M, 16, ids)
    opened = time.perf_counter() - started

    pq16 = filled(
        faiss.IndexPQ(M * 16, M, 4, faiss.METRIC_INNER_PRODUCT), np.tile(np.eye(16), (M, 1)), packed
    )
    books256 = rng.standard_normal((bits // 8, 256, D * 8 // bits))
    pq256 = filled(faiss.IndexPQ(D, bits // 8, 8, faiss.METRIC_INNER_PRODUCT), books256, packed)
    flat = faiss.IndexFlatIP(D)
    for start in range(0, n, 1 << 16):
        flat.add(rng.standard_normal((min(1 << 16, n - start), D), dtype=np.float32))
    contenders: dict[str, Callable[[int], Answer]] = {
        "engine": lambda q: engine.search(table[q : q + 1], k),
        "raw FastScan": raw(faiss.IndexPQFastScan(pq16), packed, table, k),
        f"raw FastScan, blocks {BLOCK}": raw(faiss.IndexPQFastScan(pq16, BLOCK), packed, table, k),
        f"IndexPQ {bits // 8} x 256": lambda q: pq256.search(x[q : q + 1], k),
        "IndexFlatIP float32": lambda q: flat.search(x[q : q + 1], k),
    }
    times, answers = race(contenders, queries)

    truth, scores = oracle.search(table, codes, k, ids)
    found = np.concatenate([ids for ids, _ in answers["engine"]])
    given = np.concatenate([score for _, score in answers["engine"]])
    exact = bool(np.array_equal(found, truth) and np.array_equal(given.view(np.int32), scores.view(np.int32)))
    rounds = np.array([np.median(t, axis=1) for t in times.values()])  # (contenders, rounds, 2)
    rows = []
    for place, name in enumerate(contenders):
        wall, cpu = np.median(times[name], axis=(0, 1)) * 1e3
        row: dict[str, Any] = {"bits": bits, "contender": name, "ms": float(wall), "cpu_ms": float(cpu)}
        row["ratio"], row["cpu_ratio"] = np.median(rounds[place] / rounds[0], axis=0).tolist()
        shown = ""
        if name == "engine" or name.startswith("raw"):
            same = np.mean(
                [np.array_equal(a[0].reshape(-1), t) for a, t in zip(answers[name], truth, strict=True)]
            )
            row["same_ids"] = float(same)
            shown = f"{same:.1%}"
        print(
            f"{bits:>4}  {name:<24} {wall:>9.3f} {row['ratio']:>9.2f} {cpu:>9.3f} {row['cpu_ratio']:>9.2f} {shown:>9}",
            flush=True,
        )
        rows.append(row)
    rows[0].update(identical_to_oracle=exact, open_ms=1e3 * opened, bytes_per_code=engine.nbytes / n)
    tied = float((scores[:, 1:] == scores[:, :-1]).mean()) if k > 1 else 0.0
    print(
        f"      identical to the oracle, ids and score bits: {'yes' if exact else 'NO'}; {tied:.1%} of neighbouring "
        f"results tie; opened in {1e3 * opened:.0f} ms; {engine.nbytes / n:.1f} bytes a picture"
    )
    if not exact:
        raise SystemExit("the engine differs from the oracle")
    return rows


def filled(index: Any, codebooks: np.ndarray, packed: np.ndarray) -> Any:
    """An IndexPQ with our codebooks and codes in it."""
    faiss.copy_array_to_vector(
        np.ascontiguousarray(codebooks, dtype=np.float32).reshape(-1), index.pq.centroids
    )
    index.is_trained = True
    index.add_sa_codes(packed)
    return index


def raw(index: Any, packed: np.ndarray, table: np.ndarray, k: int) -> Callable[[int], Answer]:
    """FastScan and a re-score, as one would write it in six lines."""
    M = table.shape[1]
    books = np.arange(M)

    def search(q: int) -> Answer:
        _, rows = index.search(table[q].reshape(1, -1), 2 * k)
        rows = rows[0]
        scores = table[q][books, unpack(packed[rows], M, 16)].sum(axis=1)
        best = np.argsort(-scores)[:k]
        return rows[best], scores[best]

    return search


def race(
    contenders: dict[str, Callable[[int], Answer]], queries: int
) -> tuple[dict[str, np.ndarray], dict[str, list[Answer]]]:
    """Seconds (rounds, queries of a round, 2: clock and processor) of each contender, and its answers in order."""
    times: dict[str, list[list[tuple[float, float]]]] = {name: [] for name in contenders}
    answers: dict[str, list[Answer]] = {name: [] for name in contenders}
    for some in np.array_split(np.arange(queries), max(1, queries // ROUND)):
        for name, search in contenders.items():
            search(int(some[0]))
            took = []
            for q in some.tolist():
                clock, processor = time.perf_counter(), time.thread_time()
                answers[name].append(search(q))
                took.append((time.perf_counter() - clock, time.thread_time() - processor))
            times[name].append(took)
    shortest = queries // max(1, queries // ROUND)  # rounds of equal length, to stack them
    return {name: np.array([t[:shortest] for t in took]) for name, took in times.items()}, answers


if __name__ == "__main__":
    main()

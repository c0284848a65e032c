"""How fast is exact search, one query on one thread? The engine beside what faiss offers for the same bits.

Run:  python benchmarks/search.py [--n 1000000] [--bits 64 16] [--learned CODES.npz] [--queries 200] [--k 100]
                                  [--filters .001 .01 .1 .5] [--threads 2] [--no-float] [--json FILE]
Codes and queries are random, or those of a file that `benchmarks/tools/learned_codes.py` made. Every contender answers
the same queries in rounds of ten, one contender after the other, so that a disturbance of the machine meets all of
them. Times are medians over the queries, by the clock and by the thread's processor time (which leaves out what other
programs took); a ratio is the median over the rounds of (contender's median / engine's median). Every answer of the
engine is compared with the oracle, ids and score bits.

The contenders: `raw FastScan` is IndexPQFastScan over identity codebooks, 2k candidates and a plain re-score in NumPy,
neither certified nor tie-aware, with faiss's blocks of 32 codes and with the engine's; `IndexPQ` has M = bits/8 and
K = 256; `Hamming` is IndexBinaryFlat over as many bits; `IndexFlatIP` is brute force over float32 embeddings of 128
dimensions. Then the engine as it is after some hundred queries, where it searches by groups by then, beside one that
scans; among a share of the rows, chosen by chance, compared with scoring all of those; and a second's worth of queries
on several threads, by the clock, beside what raw FastScan gains by them on this machine.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np

from sightbook.codes import oracle
from sightbook.codes.engine import QUERIES, Engine, prefixes
from sightbook.codes.engine.sieve import BLOCK, Sieve
from sightbook.codes.pack import pack, unpack
from sightbook.codes.tables import tables

D = 128
ROUND = 10  # queries a contender answers before the next one's turn; one more, unmeasured, warms the caches
SECONDS = 1.0  # that the queries take on one thread where threads are compared

Answer = tuple[np.ndarray, np.ndarray]


class Data(NamedTuple):
    """What is searched: codes (N, M) of 16 codewords, packed, and the queries' tables (Q, M, 16)."""

    name: str
    codes: np.ndarray
    packed: np.ndarray
    tables: np.ndarray

    @property
    def bits(self) -> int:
        return 4 * self.codes.shape[1]


def main() -> None:
    """Measures and prints one block for each kind of codes."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--n", type=int, default=1_000_000, help="codes")
    options.add_argument("--bits", type=int, nargs="*", default=[64, 16], choices=[16, 32, 64, 128])
    options.add_argument("--learned", type=Path, nargs="*", default=[])
    options.add_argument("--queries", type=int, default=200)
    options.add_argument("--k", type=int, default=100)
    options.add_argument("--filters", type=float, nargs="*", default=[0.001, 0.01, 0.1, 0.5])
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--no-float", action="store_true", help="without brute force over floats")
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    faiss.omp_set_num_threads(1)
    print(f"{given.n:,} codes, k = {given.k}, {given.queries} queries; faiss {faiss.__version__}")
    print(
        f"{'bits':>4}  {'contender':<24} {'ms/query':>9} {'/ engine':>9} {'cpu ms':>9} {'/ engine':>9} {'same ids':>9}"
    )
    rows: list[dict[str, Any]] = []
    for data in (
        *(random(bits, given.n, given.queries) for bits in given.bits),
        *(learned(path, given.n, given.queries) for path in given.learned),
    ):
        rows += measure(data, given.k, given.no_float)
        rows += settled(data, given.k)
        rows += among(data, given.k, given.filters)
        rows += spread(data, given.k, given.threads)
    if given.json:
        about = {"n": given.n, "k": given.k, "queries": given.queries, "faiss": faiss.__version__}
        given.json.write_text(
            json.dumps({**about, "machine": platform.machine(), "rows": rows}, indent=2) + "\n"
        )


def random(bits: int, n: int, queries: int) -> Data:
    """Random codes, and tables of random queries and codebooks."""
    rng = np.random.default_rng(0)
    M = bits // 4
    codes = rng.integers(0, 16, (n, M), dtype=np.uint8)
    x = rng.standard_normal((queries, D), dtype=np.float32)
    books = rng.standard_normal((M, 16, D // M), dtype=np.float32)
    return Data("random", codes, pack(codes, 16), tables(x, books))


def learned(path: Path, n: int, queries: int) -> Data:
    """The first `n` codes of a file, and its first queries."""
    with np.load(path) as made:
        packed, asked = made["packed"][:n], made["tables"][:queries]
    if len(packed) < n or len(asked) < queries or asked.shape[2] != 16:
        raise SystemExit(f"{path} has {len(packed)} codes, {len(asked)} queries, K = {asked.shape[2]}")
    return Data("learned", unpack(packed, asked.shape[1], 16), packed, np.ascontiguousarray(asked))


def measure(data: Data, k: int, no_float: bool) -> list[dict[str, Any]]:
    """One block of the table: every contender on the same codes."""
    rng = np.random.default_rng(0)
    bits, packed, table = data.bits, data.packed, data.tables
    n, M, queries = len(packed), bits // 4, len(table)
    ids = np.arange(n, dtype=np.int64)
    started = time.perf_counter()
    engine = Engine(packed, M, 16, ids)
    opened = time.perf_counter() - started

    x = rng.standard_normal((queries, D), dtype=np.float32)
    pq16 = filled(
        faiss.IndexPQ(M * 16, M, 4, faiss.METRIC_INNER_PRODUCT), np.tile(np.eye(16), (M, 1)), packed
    )
    books256 = rng.standard_normal((bits // 8, 256, D * 8 // bits))
    pq256 = filled(faiss.IndexPQ(D, bits // 8, 8, faiss.METRIC_INNER_PRODUCT), books256, packed)
    hamming = faiss.IndexBinaryFlat(bits)
    hamming.add(packed)
    asked = rng.integers(0, 256, (queries, bits // 8), dtype=np.uint8)
    contenders: dict[str, Callable[[int], Answer]] = {
        "engine": lambda q: engine.search(table[q : q + 1], k),
        "raw FastScan": raw(faiss.IndexPQFastScan(pq16), packed, table, k),
        f"raw FastScan, blocks {BLOCK}": raw(faiss.IndexPQFastScan(pq16, BLOCK), packed, table, k),
        f"IndexPQ {bits // 8} x 256": lambda q: pq256.search(x[q : q + 1], k),
        f"Hamming {bits}": lambda q: hamming.search(asked[q : q + 1], k),
    }
    if not no_float:
        flat = faiss.IndexFlatIP(D)
        for start in range(0, n, 1 << 16):
            flat.add(rng.standard_normal((min(1 << 16, n - start), D), dtype=np.float32))
        contenders["IndexFlatIP float32"] = lambda q: flat.search(x[q : q + 1], k)
    times, answers = race(contenders, queries)

    truth, scores = oracle.search(table, data.codes, k, ids)
    found = np.concatenate([ids for ids, _ in answers["engine"]])
    given = np.concatenate([score for _, score in answers["engine"]])
    exact = np.array_equal(found, truth) and np.array_equal(given.view(np.int32), scores.view(np.int32))
    rounds = np.array([np.median(t, axis=1) for t in times.values()])  # (contenders, rounds, 2)
    print(f"      {data.name} codes")
    rows = []
    for place, name in enumerate(contenders):
        wall, cpu = np.median(times[name], axis=(0, 1)) * 1e3
        row: dict[str, Any] = {"codes": data.name, "bits": bits, "contender": name}
        row |= {"ms": float(wall), "cpu_ms": float(cpu)}
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
        f"results tie; opened in {1e3 * opened:.0f} ms; {engine.nbytes / n:.1f} bytes a picture",
        flush=True,
    )
    if not exact:
        raise SystemExit("the engine differs from the oracle")
    return rows


def settled(data: Data, k: int) -> list[dict[str, Any]]:
    """The engine after so many queries that it has decided, beside one that goes on scanning."""
    n, M = data.codes.shape
    if not prefixes.may_pay(n, M, 16):
        return []
    engine, scanning = Engine(data.packed, M, 16), Engine(data.packed, M, 16)
    seen = 0
    while seen <= prefixes.WAIT:
        started = time.perf_counter()
        engine.search(data.tables, k)
        deciding = time.perf_counter() - started
        seen += len(data.tables)
    grouped = engine.rows.is_grouped
    if not grouped:
        print(f"{data.bits:>4}  groups would not pay: it goes on scanning", flush=True)
        return [{"codes": data.name, "bits": data.bits, "grouped": False}]
    scanning.rows.watch = None  # type: ignore[union-attr]
    took: list[tuple[float, float]] = []
    for q in range(len(data.tables)):
        one = data.tables[q : q + 1]
        clocks, answers = [time.perf_counter()], []
        for contender in (scanning, engine):
            answers.append(contender.search(one, k))
            clocks.append(time.perf_counter())
        took.append((clocks[1] - clocks[0], clocks[2] - clocks[1]))
        if not all(np.array_equal(a, b) for a, b in zip(*answers, strict=True)):
            raise SystemExit(f"groups and scan differ (query {q})")
    scan, groups = np.array(took).T
    ratio, means = float(np.median(scan) / np.median(groups)), float(scan.mean() / groups.mean())
    print(
        f"{data.bits:>4}  grouped after {prefixes.WAIT} queries: {1e3 * np.median(groups):.3f} ms, {ratio:.2f} × as "
        f"fast as a scan (medians; means {means:.2f} ×); the query that decided took {deciding:.2f} s; "
        f"{engine.nbytes / n:.1f} bytes a picture without ids",
        flush=True,
    )
    return [
        {"codes": data.name, "bits": data.bits, "grouped": True, "speedup": ratio, "speedup_of_means": means}
    ]


def among(data: Data, k: int, shares: list[float]) -> list[dict[str, Any]]:
    """The engine among some of the rows: every answer against all of those scored."""
    rng = np.random.default_rng(1)
    n, M = data.codes.shape
    engine = Engine(data.packed, M, 16)
    rows: list[dict[str, Any]] = []
    for share in shares:
        kept = np.sort(rng.choice(n, max(k, int(share * n)), replace=False)).astype(np.int64)
        chosen = engine.choose(kept)
        few = data.codes[kept]
        chosen.mask.any()  # made once for any number of searches
        took: list[float] = []
        whole: list[float] = []
        for q in range(len(data.tables)):
            started = time.perf_counter()
            ids, scores = engine.search(data.tables[q : q + 1], k, among=chosen)
            took.append(time.perf_counter() - started)
            started = time.perf_counter()
            engine.search(data.tables[q : q + 1], k)
            whole.append(time.perf_counter() - started)
            truth, raw_scores = oracle.search(data.tables[q : q + 1], few, k, kept)
            if not (np.array_equal(ids, truth) and np.array_equal(scores, raw_scores)):
                raise SystemExit(
                    f"search among {share:.1%} differs from filter, then brute force (query {q})"
                )
        ms, ratio = 1e3 * float(np.median(took)), float(np.median(took) / np.median(whole))
        print(
            f"{data.bits:>4}  among {share:>5.1%} of the rows {ms:>9.3f} ms, {ratio:.2f} of a search among all; "
            "as filter, then brute force",
            flush=True,
        )
        rows.append(
            {"codes": data.name, "bits": data.bits, "among": share, "ms": ms, "of_whole_search": ratio}
        )
    return rows


def spread(data: Data, k: int, threads: int) -> list[dict[str, Any]]:
    """Some seconds of queries, on one thread and on several: the engine, and raw FastScan without any re-scoring.

    The latter shows what the machine gives: processors that share a core or a cache do not double it.
    """
    if threads < 2:
        return []
    M = data.codes.shape[1]
    engine = Engine(data.packed, M, 16)
    bare = Sieve(data.packed, M, 16)
    c = bare.first(k)

    def bare_search(many: np.ndarray, count: int) -> None:
        blocks = [many[start : start + QUERIES] for start in range(0, len(many), QUERIES)]
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(lambda block: bare.candidates(block, c), blocks))

    if prefixes.may_pay(len(data.packed), M, 16):
        engine.search(np.concatenate([data.tables] * -(-prefixes.WAIT // len(data.tables))), k)
    started = time.perf_counter()
    engine.search(data.tables, k)
    needed = SECONDS / (time.perf_counter() - started)
    many = np.concatenate([data.tables] * max(1, round(needed), -(-QUERIES * threads // len(data.tables))))
    ratios = []
    for _ in range(7):
        seconds = []
        for count in (1, threads):
            for search in (lambda many, count: engine.search(many, k, count), bare_search):
                started = time.perf_counter()
                search(many, count)
                seconds.append(time.perf_counter() - started)
        ratios.append((seconds[0] / seconds[2], seconds[1] / seconds[3]))
    ours, theirs = np.median(ratios, axis=0).tolist()
    print(
        f"{data.bits:>4}  {threads} threads answer {ours:.2f} × the queries of one (raw FastScan: {theirs:.2f} ×; "
        f"{len(many)} queries, medians of 7{', by groups' if engine.rows.is_grouped else ''})",
        flush=True,
    )
    return [
        {"codes": data.name, "bits": data.bits, "threads": threads, "speedup": ours, "raw_speedup": theirs}
    ]


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

"""Could exact search read fewer codes? Rows that no bound of their group rules out, on learned codes.

Run:  python benchmarks/bounds.py CODES.npz [--queries 100] [--k 10 100] [--groups 4096]
CODES.npz is made by `benchmarks/tools/learned_codes.py`. Rows are put into groups; a group's bound is the most that any
of its rows can score for a query, and a group whose bound lies below the k-th best score need not be read. The k-th
best score is taken from the exact answer, so what is counted is the least that any search by these groups must read:
a real one, which has to find the score first, reads more. The engine uses the first kind (`codes/prefixes.py`). Groups:

prefix p        rows that share the first p codewords; those entries and the best entry of each further codebook
prefix p + sets the same rows; in each further codebook the best entry among the codewords that occur in the group
k-means + sets  rows near one of `--groups` centres of the reconstructed embeddings; the best entries that occur in it
k-means + ball  the same rows; score of the centre + length of the query × the greatest distance from the centre
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np

from sightbook.codes.engine import Engine
from sightbook.codes.pack import unpack

Bound = tuple[str, np.ndarray, np.ndarray]  # name, bounds (Q, groups) float32, rows of each group (groups,)


def main() -> None:
    """Measures and prints one table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("codes", type=Path)
    options.add_argument("--queries", type=int, default=100)
    options.add_argument("--k", type=int, nargs="+", default=[10, 100])
    options.add_argument("--groups", type=int, default=4096)
    given = options.parse_args()
    with np.load(given.codes) as made:
        packed, books = made["packed"], made["codebooks"]
        tables = np.ascontiguousarray(made["tables"][: given.queries])
    M, K, _ = books.shape
    codes = unpack(packed, M, K)
    engine = Engine(packed, M, K)
    kth = {k: engine.search(tables, k)[1][:, -1] for k in given.k}
    print(f"{len(codes):,} codes, {M} × {K}, {len(tables)} queries")
    print(f"{'groups':<16} {'how many':>9} " + " ".join(f"read, k {k:>4}" for k in given.k))
    for name, bounds, sizes in bounded(codes, books, tables, given.groups):
        shares = [
            float(((bounds >= kth[k][:, None]) * sizes).sum(axis=1).mean() / len(codes)) for k in given.k
        ]
        print(f"{name:<16} {len(sizes):>9,} " + " ".join(f"{share:>12.2%}" for share in shares), flush=True)


def bounded(codes: np.ndarray, books: np.ndarray, tables: np.ndarray, count: int) -> Iterator[Bound]:
    """Every way of grouping, one after the other."""
    M, K, _ = books.shape
    for p in (2, 3, 4, 5, 6, 8):
        if p >= M or K**p > 2**40:
            continue
        number = np.zeros(len(codes), np.int64)
        for m in range(p):
            number = number * K + codes[:, m]
        _, first, group, sizes = np.unique(number, return_index=True, return_inverse=True, return_counts=True)
        words = codes[first, :p]
        here = sum(tables[:, m][:, words[:, m]] for m in range(p))
        yield f"prefix {p}", here + tables[:, p:].max(axis=2).sum(axis=1)[:, None], sizes
        if len(sizes) <= len(codes) // 4:
            yield f"prefix {p} + sets", best_of_sets(codes, group, len(sizes), tables), sizes
    x = books[np.arange(M), codes].reshape(len(codes), -1)
    kmeans = faiss.Kmeans(x.shape[1], count, niter=10, seed=0, max_points_per_centroid=64)
    kmeans.train(x)
    distances, nearest = kmeans.index.search(x, 1)
    group = nearest[:, 0]
    sizes = np.bincount(group, minlength=count)
    yield "k-means + sets", best_of_sets(codes, group, count, tables), sizes
    # Entries of an inner-product table are x_m · c_mk, so the query follows from its table.
    query = np.concatenate([np.linalg.lstsq(books[m], tables[:, m].T, rcond=None)[0] for m in range(M)]).T
    if np.allclose(np.einsum("qmd,mkd->qmk", query.reshape(len(query), M, -1), books), tables, atol=1e-3):
        radius = np.zeros(count, np.float32)
        np.maximum.at(radius, group, np.sqrt(np.maximum(distances[:, 0], 0)))
        ball = query @ kmeans.centroids.T + np.linalg.norm(query, axis=1)[:, None] * radius
        yield "k-means + ball", ball, sizes


def best_of_sets(codes: np.ndarray, group: np.ndarray, count: int, tables: np.ndarray) -> np.ndarray:
    """Σ_m of the best entry among the codewords that occur in a group: (Q, count)."""
    K = tables.shape[2]
    total = np.zeros((len(tables), count), np.float32)
    for m in range(tables.shape[1]):
        occurs = np.zeros((count, K), np.bool_)
        occurs[group, codes[:, m]] = True
        for q in range(len(tables)):
            total[q] += np.where(occurs, tables[q, m], -np.inf).max(axis=1)
    return total


if __name__ == "__main__":
    main()

"""Product quantization by k-means, from faiss: the codewords that a collection suggests without any learning."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from sightbook.codes.tables import Floats

SEED = 1234
_ROWS_A_WORD, _ALONE = 1.5, 32  # rows a codeword at least, on average; so few rows are a codeword each
_ROUNDS = 10  # of k-means; 60 gave no better answers (docs/log.md)


def clusters(x: Floats, M: int, K: int) -> Floats:
    """Rows x (N, D) float32 → codebooks (M, K, D/M) float32: k-means of each sub-vector, the same for any machine load.

    Rows are repeated where there are fewer than K. Raises ValueError when there is none.
    """
    if len(x) == 0:
        raise ValueError("there is no row to cluster")
    rows = np.ascontiguousarray(np.tile(x, (-(-K // len(x)), 1)) if len(x) < K else x, np.float32)
    with one_thread() as faiss:
        quantizer = faiss.ProductQuantizer(rows.shape[1], M, K.bit_length() - 1)
        quantizer.cp.seed = SEED
        quantizer.cp.min_points_per_centroid = 1  # fewer than it likes are no news to the caller
        quantizer.train(rows)
        words: Floats = faiss.vector_to_array(quantizer.centroids).reshape(M, K, -1)
    return words


def deal(variances: Sequence[float], M: int, d: int) -> list[int]:
    """Where each principal component (of variances descending, M · d or fewer) stands among M sub-vectors of d numbers.

    Always in the sub-vector whose variances have the smallest product so far, so that all have about the same one
    (parametric OPQ, Ge and others 2013).
    """
    filled, sums, places = [0] * M, [0.0] * M, []
    floor = max(variances, default=0.0) * 1e-9 + 1e-30
    least = math.log(floor)
    for variance in variances:
        part = min((m for m in range(M) if filled[m] < d), key=lambda m: sums[m])
        places.append(part * d + filled[part])
        filled[part] += 1
        sums[part] += math.log(max(variance, floor)) - least
    return places


def clusterings(x: Floats, M: int, K: int, seed: int = SEED) -> Floats:
    """Rows x (N, d) float32 → codebooks (M, K, d) float32: M k-means of the same rows, each begun elsewhere.

    K rows begin a clustering; which, differs from codebook to codebook. The clusterings then disagree where a row lies
    between clusters, and the sum over them tells more than each (cluster ensembles). Begun from the same rows they
    would be alike: .71 instead of .75 mAP on general photos at 64 bits (docs/log.md). Of few rows fewer than K clusters
    are made, the last of which fills the codebook: clusters of one row each would say nothing of rows to come. The
    machine's load does not matter. Raises ValueError when there is no row.
    """
    if len(x) == 0:
        raise ValueError("there is no row to cluster")
    rows = np.ascontiguousarray(x, np.float32)
    count = min(K, len(rows), max(_ALONE, round(len(rows) / _ROWS_A_WORD)))
    words = np.empty((M, K, x.shape[1]), np.float32)
    with one_thread() as faiss:
        for m in range(M):
            means = faiss.Clustering(rows.shape[1], count)
            means.niter, means.seed, means.min_points_per_centroid = _ROUNDS, seed + m, 1
            means.train(rows, faiss.IndexFlatL2(rows.shape[1]))
            words[m, :count] = faiss.vector_to_array(means.centroids).reshape(count, -1)
            words[m, count:] = words[m, count - 1]
    return words


@contextmanager
def one_thread() -> Iterator[Any]:
    """faiss with one thread: its sums depend on their number, and its threads wait for each other busily."""
    import faiss

    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield faiss
    finally:
        faiss.omp_set_num_threads(threads)

"""Look-up tables: everything a search needs to know of a query, and the codes they are read with.

By the metric of the model, with x_m the query's m-th sub-vector:

- inner: table[m, k] = ⟨x_m, c_mk⟩, for sub-vectors and codewords of length 1;
- distance: table[m, k] = 1 - ‖x_m - c_mk‖ / s, where s is the root mean square distance between two codewords of one
  codebook: SPQ's distance (arXiv 2109.02244) turned into a score that is 1 on a codeword and about 0 at a random one;
- near-cosine: table[m, k] = (⟨x_m, c_mk⟩ - ¼ ‖c_mk‖²) / g with g three quarters of the mean ‖c_mk‖²: halfway between
  the inner product and the squared distance, which orders stored pictures nearly as the cosine of whole embeddings
  does, without their lengths being stored.

The score of a stored picture is Σ_m table[m, code_m] (the asymmetric score; with a quantized query it is the symmetric
one).

Codebooks share an embedding in one of two ways, which its length tells: D = M·d, each has a part of it (x_m); or D = d,
each sees all of it (x_m = x): M clusterings of one and the same description.

Sums over the d components are made in order, by elementwise operations, never by a matrix product: BLAS sums in another
order for another batch size, and then a picture's code could depend on the pictures beside it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sightbook.codes.pack import Codes
from sightbook.errors import ConfigError

Floats = NDArray[np.float32]
Metric = Literal["inner", "distance", "near-cosine"]

# Table entries worked on at once: 1 MiB, so that the running sum stays in the second-level cache.
CHUNK = 1 << 18
_MANY = 8  # embeddings from which on matrix products pay


def tables(x: Floats, codebooks: Floats, metric: Metric = "inner") -> Floats:
    """Embeddings x (Q, D) float32 and codebooks (M, K, d) float32, D = M·d or D = d → tables (Q, M, K) float32.

    Raises ConfigError when D is neither.
    """
    M, K, d = _shape(codebooks)
    sub = _parts(np.asarray(x, dtype=np.float32), M, d)
    words = np.ascontiguousarray(np.asarray(codebooks, dtype=np.float32).transpose(2, 0, 1))  # (d, M, K)
    out = np.empty((len(sub), M, K), dtype=np.float32)
    step = max(1, CHUNK // (M * K))
    term = np.empty((min(step, len(sub)), M, K), dtype=np.float32)
    for start in range(0, len(sub), step):
        some, total = sub[start : start + step], out[start : start + step]
        _part(some[:, :, 0, None], words[0], metric, total)
        for j in range(1, d):
            _part(some[:, :, j, None], words[j], metric, term[: len(some)])
            total += term[: len(some)]
    if metric == "distance":
        np.sqrt(out, out=out)
        out *= np.float32(-1.0 / spread(codebooks))
        out += np.float32(1.0)
    elif metric == "near-cosine":
        squares = np.zeros((M, K), dtype=np.float32)
        for j in range(d):
            squares += words[j] * words[j]
        scale = 0.75 * float(squares.mean(dtype=np.float64)) or 1.0
        out -= np.float32(0.25) * squares
        out *= np.float32(1.0 / scale)
    return out


def _part(component: Floats, words: Floats, metric: Metric, out: Floats) -> None:
    """What one component adds: its product with the codewords', or the square of the difference."""
    if metric != "distance":
        np.multiply(component, words, out=out)
    else:
        np.subtract(component, words, out=out)
        np.multiply(out, out, out=out)


def spread(codebooks: Floats) -> float:
    """Root mean square distance between two codewords of one codebook, over all codebooks (M, K, d); 1 when all of a
    codebook are the same."""
    words = np.asarray(codebooks, dtype=np.float64)
    square = 2.0 * float(words.var(axis=1).sum(axis=1).mean())
    return square**0.5 if square > 0 else 1.0


def assign(x: Floats, codebooks: Floats, metric: Metric = "inner") -> Codes:
    """Embeddings x (N, D) float32 → codes (N, M) uint8: in each codebook the codeword of the largest table entry, so
    that nothing scores above a stored picture's own code when that picture is the query.

    Ties go to the lowest k. Raises ConfigError when shapes do not fit, K > 256, or an embedding is not finite, which
    would get an arbitrary code.
    """
    M, K, _ = _shape(codebooks)
    if K > 256:
        raise ConfigError(f"K = {K} codewords per codebook do not fit uint8 codes: choose K = 16 or K = 256")
    bad = ~np.isfinite(x).all(axis=-1)
    if bad.any():
        raise ConfigError(
            f"embedding {int(np.argmax(bad))} holds values that are not finite: it cannot be given a code"
        )
    codes = np.empty((len(x), M), dtype=np.uint8)
    step = max(1, CHUNK // (M * K))
    quick = _Quick(codebooks) if metric == "near-cosine" and len(x) >= _MANY else None
    for start in range(0, len(x), step):
        some = x[start : start + step]
        if quick is None:
            codes[start : start + step] = tables(some, codebooks, metric).argmax(axis=2)
            continue
        found, sure = quick.assign(_parts(np.asarray(some, dtype=np.float32), M, codebooks.shape[2]))
        if not sure.all():
            found[~sure] = tables(some[~sure], codebooks, metric).argmax(axis=2)
        codes[start : start + step] = found
    return codes


class _Quick:
    """Near-cosine codes by matrix products, several times faster than sums in order, and whether each is sure.

    A product of d terms errs by at most d roundings of the sum of magnitudes, in whatever order; a row whose best
    entry leads the second by less than both errors together is not sure.
    """

    def __init__(self, codebooks: Floats) -> None:
        self.words = np.asarray(codebooks, dtype=np.float32)
        self.lengths = np.linalg.norm(self.words.astype(np.float64), axis=2).max(axis=1)
        self.bias = (0.25 * (self.words.astype(np.float64) ** 2).sum(axis=2)).astype(np.float32)

    def assign(self, sub: Floats) -> tuple[Codes, NDArray[np.bool_]]:
        """Sub-vectors (n, M, d) float32 → codes (n, M) uint8, sure (n,) bool."""
        M, _, d = self.words.shape
        codes = np.empty((len(sub), M), dtype=np.uint8)
        sure = np.ones(len(sub), dtype=bool)
        for m in range(M):
            part = sub[:, m]
            entries = part @ self.words[m].T - self.bias[m]
            best = entries.argmax(axis=1)
            rows = np.arange(len(part))
            lead = entries[rows, best].astype(np.float64)
            entries[rows, best] = -np.inf
            reach = np.linalg.norm(part.astype(np.float64), axis=1) * self.lengths[m] + self.lengths[m] ** 2
            # 2 (d + 8) for each of the two entries, on either side of the comparison.
            sure &= lead - entries.max(axis=1) > 4 * (d + 8) * 2.0**-24 * reach
            codes[:, m] = best
        return codes, sure


def _parts(x: Floats, M: int, d: int) -> Floats:
    """x (Q, M·d) or (Q, d) → what each codebook sees of it, (Q, M, d). ConfigError for another length."""
    if x.ndim == 2 and x.shape[1] == M * d:
        return x.reshape(-1, M, d)
    if x.ndim == 2 and x.shape[1] == d:
        return np.broadcast_to(x[:, None, :], (len(x), M, d))
    raise ConfigError(
        f"embeddings of shape {x.shape} do not fit {M} codebooks of {d} dimensions: need (Q, {M * d}), or (Q, {d}) for "
        "codebooks that all see the whole embedding"
    )


def reconstruct(codes: Codes, codebooks: Floats) -> Floats:
    """Codes (N, M) uint8 → hard-quantized embeddings ẑ (N, M·d) float32: a codeword for each codebook.

    Raises ConfigError when shapes do not fit or a code is not below K.
    """
    M, K, d = _shape(codebooks)
    if codes.ndim != 2 or codes.shape[1] != M:
        raise ConfigError(f"codes of shape {codes.shape} do not fit {M} codebooks: need (N, {M})")
    if codes.size and int(codes.max()) >= K:
        raise ConfigError(f"a code of {int(codes.max())} does not fit codebooks of K = {K} codewords")
    quantized = np.asarray(codebooks, dtype=np.float32)[np.arange(M), codes]
    return quantized.reshape(len(codes), M * d)


def symmetric_tables(codes: Codes, codebooks: Floats, metric: Metric = "inner") -> Floats:
    """Codes (Q, M) uint8 of queries → tables (Q, M, K) float32 that score quantized queries against stored codes."""
    return tables(reconstruct(codes, codebooks), codebooks, metric)


def _shape(codebooks: Floats) -> tuple[int, int, int]:
    if codebooks.ndim != 3 or 0 in codebooks.shape:
        raise ConfigError(
            f"codebooks must be a non-empty (M, K, d) array, not one of shape {codebooks.shape}"
        )
    M, K, d = codebooks.shape
    return M, K, d

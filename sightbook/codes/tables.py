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

Sums over the d components are made in order, for each query alone, by elementwise operations: a sum along the first
axis of a C-ordered array adds its rows one after another. Never by a matrix product: BLAS sums in another order for
another batch size, and then a picture's code could depend on the pictures beside it. Nor by einsum, which fuses
products and sums on some processors: its bits would be the machine's.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sightbook.codes.pack import Codes
from sightbook.errors import ConfigError
from sightbook.threads import one_thread

Floats = NDArray[np.float32]
Metric = Literal["inner", "distance", "near-cosine"]

# Table entries worked on at once: 1 MiB, which stays in the second-level cache.
CHUNK = 1 << 18
_MANY = 8  # embeddings from which on matrix products pay


class Codebooks:
    """Codebooks (M, K, d) float32 under a metric, with what every look-up needs of them computed once.

    Safe to share between threads. Raises ConfigError for another shape.
    """

    def __init__(self, codebooks: Floats, metric: Metric = "inner") -> None:
        self.M, self.K, self.d = _shape(codebooks)
        self.metric = metric
        self._words = np.asarray(codebooks, dtype=np.float32)
        self._components = np.ascontiguousarray(self._words.transpose(2, 0, 1))  # (d, M, K)
        if metric == "distance":
            self._factor = np.float32(-1.0 / spread(codebooks))
        elif metric == "near-cosine":
            squares = _sum(self._components * self._components)
            self._offset = np.float32(0.25) * squares
            self._factor = np.float32(1.0 / (0.75 * float(squares.mean(dtype=np.float64)) or 1.0))

    def tables(self, x: Floats) -> Floats:
        """Embeddings x (Q, D) float32, D = M·d or D = d → tables (Q, M, K) float32.

        Raises ConfigError when D is neither.
        """
        return self._entries(self._parts(x))

    def assign(self, x: Floats) -> Codes:
        """Embeddings x (N, D) float32 → codes (N, M) uint8: in each codebook the codeword of the largest table entry,
        so that nothing scores above a stored picture's own code when that picture is the query.

        Ties go to the lowest k. Raises ConfigError when shapes do not fit, K > 256, or an embedding is not finite,
        which would get an arbitrary code.
        """
        if self.K > 256:
            raise ConfigError(
                f"K = {self.K} codewords per codebook do not fit uint8 codes: choose K = 16 or K = 256"
            )
        bad = ~np.isfinite(x).all(axis=-1)
        if bad.any():
            raise ConfigError(
                f"embedding {int(np.argmax(bad))} holds values that are not finite: it cannot be given a code"
            )
        codes = np.empty((len(x), self.M), dtype=np.uint8)
        quick = self.metric == "near-cosine" and len(x) >= _MANY
        step = max(1, CHUNK // (self.M * self.K))
        for start in range(0, len(x), step):
            sub, found = self._parts(x[start : start + step]), codes[start : start + step]
            if not quick:
                found[:] = self._entries(sub).argmax(axis=2)
                continue
            found[:], sure = self._quick.assign(sub)
            for m in np.flatnonzero(~sure.all(axis=0)):
                rows, books = np.flatnonzero(~sure[:, m]), slice(m, m + 1)
                found[rows, books] = self._entries(sub[rows, books], books).argmax(axis=2)
        return codes

    def _entries(self, sub: Floats, books: slice = slice(None)) -> Floats:
        """Sub-vectors (Q, M, d) float32 → tables (Q, M, K) float32, of some of the codebooks.

        All products of a query at once, then their sum: two calls, not two for each component.
        """
        words = self._components[:, books]
        term = np.empty_like(words, order="C")
        out = np.empty((len(sub), *term.shape[1:]), dtype=np.float32)
        for components, total in zip(sub.transpose(0, 2, 1)[..., None], out, strict=True):
            if self.metric != "distance":
                np.multiply(components, words, out=term)
            else:
                np.subtract(components, words, out=term)
                np.multiply(term, term, out=term)
            _sum(term, total)
        if self.metric == "distance":
            np.sqrt(out, out=out)
            out *= self._factor
            out += np.float32(1.0)
        elif self.metric == "near-cosine":
            out -= self._offset[books]
            out *= self._factor
        return out

    @cached_property
    def _quick(self) -> Quick:
        return Quick(self._words)

    def _parts(self, x: Floats) -> Floats:
        """x (Q, M·d) or (Q, d) → what each codebook sees of it, (Q, M, d). ConfigError for another length."""
        x, M, d = np.asarray(x, dtype=np.float32), self.M, self.d
        if x.ndim == 2 and x.shape[1] == M * d:
            return x.reshape(-1, M, d)
        if x.ndim == 2 and x.shape[1] == d:
            return np.broadcast_to(x[:, None, :], (len(x), M, d))
        raise ConfigError(
            f"embeddings of shape {x.shape} do not fit {M} codebooks of {d} dimensions: need (Q, {M * d}), or (Q, {d}) "
            "for codebooks that all see the whole embedding"
        )


def tables(x: Floats, codebooks: Floats, metric: Metric = "inner") -> Floats:
    """`Codebooks.tables` of codebooks (M, K, d) float32 that are used once."""
    return Codebooks(codebooks, metric).tables(x)


def assign(x: Floats, codebooks: Floats, metric: Metric = "inner") -> Codes:
    """`Codebooks.assign` of codebooks (M, K, d) float32 that are used once."""
    return Codebooks(codebooks, metric).assign(x)


def _sum(terms: Floats, out: Floats | None = None) -> Floats:
    """terms (d, M, K) → their sum over d (M, K), in order. It begins at -0, which changes no bit of the first."""
    return np.asarray(np.add.reduce(terms, axis=0, out=out, initial=np.float32(-0.0)))


def spread(codebooks: Floats) -> float:
    """Root mean square distance between two codewords of one codebook, over all codebooks (M, K, d); 1 when all of a
    codebook are the same."""
    words = np.asarray(codebooks, dtype=np.float64)
    square = 2.0 * float(words.var(axis=1).sum(axis=1).mean())
    return square**0.5 if square > 0 else 1.0


class Quick:
    """Near-cosine codes by matrix products, several times faster than sums in order, and whether each is sure.

    A product of d terms errs by at most d roundings of the sum of magnitudes, in whatever order; a code whose best
    entry leads the second by less than both errors together is not sure.
    """

    def __init__(self, words: Floats) -> None:
        self.words = words.transpose(0, 2, 1)  # (M, d, K)
        squares = (words.astype(np.float64) ** 2).sum(axis=2)
        self.lengths = np.sqrt(squares.max(axis=1))
        self.bias = (0.25 * squares).astype(np.float32)

    def assign(self, sub: Floats) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Sub-vectors (n, M, d) float32 → codes (n, M), sure (n, M) bool."""
        d = sub.shape[2]
        with one_thread():
            entries = sub.transpose(1, 0, 2) @ self.words - self.bias[:, None]  # (M, n, K)
        best = entries.argmax(axis=2, keepdims=True)
        lead = np.take_along_axis(entries, best, 2).astype(np.float64)
        np.put_along_axis(entries, best, -np.inf, 2)
        length = np.sqrt(np.einsum("nmd,nmd->mn", sub, sub, dtype=np.float64))
        reach = length * self.lengths[:, None] + self.lengths[:, None] ** 2
        # 2 (d + 8) for each of the two entries, on either side of the comparison.
        sure = lead[..., 0] - entries.max(axis=2) > 4 * (d + 8) * 2.0**-24 * reach
        return best[..., 0].T, sure.T


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

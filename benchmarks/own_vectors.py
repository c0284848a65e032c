"""Vectors of one's own: our codes beside those of nanopq, faiss and scikit-learn, at equal bits.

    python benchmarks/own_vectors.py MODEL PHOTOS LABELS.csv [--junk sender_id] [--keep FILE.npz] [--bits 32 64 128]

Two figures that need not agree: mAP@100 against the labels, and recall@10 of the ten nearest by the vectors' own
cosine, which is what pure quantizers are made for. Seconds of learning are in those of ours, in one run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))  # also where a test runs this file
from tools.described import Collection, read_collection, score_codes

from sightbook.codes.tables import tables
from sightbook.describe.vectors import unit
from sightbook.evaluate import classic
from sightbook.model.fit import codes_of, fit


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("photos", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--junk")
    parser.add_argument("--keep", type=Path, help="features are kept in this .npz and read from it")
    parser.add_argument("--bits", type=int, nargs="+", default=[32, 64, 128])
    given = parser.parse_args()
    data = read_collection(given.model, given.photos, given.labels, junk=given.junk, by=None, keep=given.keep)
    nearest = np.argsort(-(unit(data.asked) @ unit(data.stored).T), axis=1)[:, :10]
    for bits in given.bits:
        ours = 0.0
        for name, learn in contenders(data, bits).items():
            started = time.perf_counter()
            try:
                scores = np.asarray(learn(), np.float32)
            except (ImportError, AttributeError, RuntimeError, ValueError) as error:
                print(f"{bits:>4} bits  {name:34} left out: {str(error).splitlines()[0][:80]}", flush=True)
                continue
            seconds = time.perf_counter() - started
            ours = ours or seconds
            top = np.argsort(-scores, axis=1, kind="stable")[:, :10]
            recall = float((top[:, :, None] == nearest[:, None, :]).any(axis=2).mean())
            row = data.judge(name, scores)
            print(
                f"{bits:>4} bits  {name:34} mAP {row.ap.mean():.3f}  P@1 {row.first.mean():.3f}  "
                f"recall@10 {recall:.3f}  time {seconds / ours:5.2f}",
                flush=True,
            )


def contenders(data: Collection, bits: int) -> dict[str, Callable[[], Any]]:
    """By name: what learns, codes and scores (Q, N)."""
    asked, stored = data.asked, data.stored
    q, x = classic.centre(asked, stored)
    M, d = bits // 8, x.shape[1]

    def ours() -> Any:
        fitted = fit(stored, bits)
        words = tables(fitted.description.apply(asked), fitted.codebooks, "near-cosine")
        return score_codes(words, codes_of(stored, fitted))

    def nano(kind: str) -> Any:
        import nanopq

        made = getattr(nanopq, kind)(M=M, Ks=256, verbose=False)
        made.fit(x, seed=123, **({"pq_iter": 10, "rotation_iter": 5} if kind == "OPQ" else {}))
        codes = made.encode(x)
        return np.stack([-made.dtable(each).adist(codes) for each in q])

    def rebuilt(index: Any) -> Any:
        index.train(x)
        z = index.sa_decode(index.sa_encode(x))
        return 2 * q @ z.T - (z**2).sum(axis=1)

    def rabitq() -> Any:
        index = faiss.index_factory(d, f"PCA{bits},IVF1,RaBitQ")
        index.train(x)
        index.add(x)
        distances, rows = index.search(q, len(x))
        scores = np.empty_like(distances)
        np.put_along_axis(scores, rows, -distances, 1)
        return scores

    def signs(learn: Callable[..., Any]) -> Any:
        made = learn(asked, stored, bits)
        return score_codes(made.tables, made.codes)

    def pca_sklearn() -> Any:
        from sklearn.decomposition import PCA

        turn = PCA(bits, random_state=0).fit(x)
        return turn.transform(q) @ np.sign(turn.transform(x)).T

    return {
        "sightbook Model.fit": ours,
        "nanopq PQ": lambda: nano("PQ"),
        "nanopq OPQ": lambda: nano("OPQ"),
        "faiss PQ": lambda: rebuilt(faiss.IndexPQ(d, M, 8)),
        "faiss OPQ": lambda: rebuilt(
            faiss.IndexPreTransform(faiss.OPQMatrix(d, M, 16 * M), faiss.IndexPQ(16 * M, M, 8))
        ),
        "faiss residual quantizer": lambda: rebuilt(faiss.IndexResidualQuantizer(d, M, 8)),
        "faiss local-search quantizer": lambda: rebuilt(faiss.IndexLocalSearchQuantizer(d, M, 8)),
        "faiss PCA + IVF1 + RaBitQ": rabitq,
        "scikit-learn PCA + sign": pca_sklearn,
        "ITQ": lambda: signs(classic.itq),
    }  # fmt: skip


if __name__ == "__main__":
    main()

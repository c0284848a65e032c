"""What beats what over one frozen network: floats, classical codes, the steps of `neighbours`, other quantizers of the
same description, at 16 to 128 bits, with bootstrap intervals; `--later`: learned on a part; `--strength`: is the
label-free choice the right one?

    python benchmarks/neighbours.py MODEL PHOTOS LABELS.csv [--junk sender_id] [--by origin] [--json FILE]

MODEL is any described model (`sightbook train … --train head`): its encoder gives the features, its codes are not used.
Every 10th file in name order is a query; everything is learned from the other files, without labels.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import faiss
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))  # also where a test runs this file
from tools.described import Collection, Row, halves, read_collection, score_codes

from sightbook.codes.products import SEED, clusterings, clusters
from sightbook.codes.tables import assign, tables
from sightbook.describe import learn as learning
from sightbook.describe.learn import STRENGTHS, Strength, learn
from sightbook.describe.nearest import neighbours
from sightbook.describe.vectors import unit
from sightbook.evaluate import classic
from sightbook.model.fit import share_of

BITS = (16, 32, 64, 128)
DEFAULT = "neighbours, clusterings 64 bits"


def main() -> None:
    """Prints the table, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("photos", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--junk")
    parser.add_argument("--by", help="a column of the labels: mAP for each of its values, too")
    parser.add_argument("--keep", type=Path, help="features are kept in this .npz and read from it")
    parser.add_argument(
        "--seeds", type=int, default=1, help="what is learned is learned so often; rows are means"
    )
    parser.add_argument("--later", action="store_true")
    parser.add_argument("--strength", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    data = read_collection(
        given.model, given.photos, given.labels, junk=given.junk, by=given.by, keep=given.keep
    )
    seeds = [SEED + 1000 * place for place in range(given.seeds)]
    if given.later:
        part = over(seeds, lambda seed: later(data, seed))
    elif given.strength:
        part = strengths(data, seeds)
    else:
        part = chain(classical(data), over(seeds, lambda seed: learned(data, seed)))
    rows: list[Row] = []
    for row in part:
        rows.append(row)
        print(row.text(), flush=True)
    base = next((row for row in rows if row.name == DEFAULT), None)
    if base is not None:
        print(f"\nmAP minus that of {DEFAULT}, 95 % of a paired bootstrap")
        for row in rows:
            print(f"{row.name:52} {row.difference(base)}")
    if given.json:
        given.json.write_text(json.dumps([row.to_json(base) for row in rows], indent=1) + "\n")


def over(seeds: Sequence[int], made: Callable[[int], Iterator[Row]]) -> Iterator[Row]:
    """Rows of which each is the mean of those of one name, made once for each seed."""
    for same in zip(*(made(seed) for seed in seeds), strict=True):
        yield Row.mean(same)


def classical(data: Collection) -> Iterator[Row]:
    """The rows of the main table that no seed changes, or that are of other people's methods."""
    asked, stored = data.asked, data.stored
    yield data.judge("features, cosine", unit(asked) @ unit(stored).T)
    centred = classic.centre(asked, stored)
    yield data.judge("features, centred, cosine", centred[0] @ centred[1].T)
    white = classic.whitened(asked, stored)
    yield data.judge("features, 128 whitened components", white[0] @ white[1].T)
    for bits in BITS:
        for name, made in {
            "LSH": classic.lsh, "PCA and sign": classic.pca_sign, "ITQ": classic.itq, "PQ": classic.pq,
            "OPQ": classic.opq,
        }.items():  # fmt: skip
            coded = made(asked, stored, bits)
            yield data.judge(f"{name} {bits} bits", score_codes(coded.tables, coded.codes))
    narrow = clusters(centred[1], 16, 16)
    codes = assign(centred[1], narrow, "distance")
    squares = (narrow**2).sum(axis=2)
    yield data.judge(
        "PQ, 16 codewords, 64 bits", score_codes(2 * tables(centred[0], narrow) - squares, codes)
    )
    yield data.judge(
        "halves of features, 64 components (as before), 64 bits", halves(*centred, 8, 64, same=True)
    )


def learned(data: Collection, seed: int) -> Iterator[Row]:
    """The rows of what is learned from neighbourhoods, and of other quantizers of it."""
    asked, stored = data.asked, data.stored
    centred = classic.centre(asked, stored)
    found = learn(stored, seed=seed)
    print(f"  seed {seed}: {found.strength}", flush=True)
    x, q = (found.description.apply(each) for each in (stored, asked))
    y, p = x + found.description.middle, q + found.description.middle
    yield data.judge("neighbours, 256 floats", p @ y.T)
    only = learning.learn_whitening
    places, _ = neighbours(centred[1], 4)
    whitening = only(centred[1], np.arange(len(stored)), places, found.strength.whitening)
    y1, p1 = (learning._mapped(each, whitening) for each in (centred[1], centred[0]))
    yield data.judge("whitening alone, floats", p1 @ y1.T)
    w = classic_pca(y1, p1, 256)
    yield data.judge("whitening alone, clusterings 64 bits", cluster_scores(*w, 8, seed))
    words, share = clusterings(x, 16, 256, seed), share_of(len(stored))
    for bits in BITS:
        M = bits // 8
        scores = code_scores(q, x, words[:M])
        yield data.judge(f"neighbours, clusterings {bits} bits", scores)
        yield data.judge(f"neighbours, clusterings {bits} bits + fine code", with_fine(scores, p, y, share))
    wide = [learning_floats(stored, asked, found.strength)]
    for bits in BITS:
        M = bits // 8
        for count in (64, 128, 256):
            yield data.judge(
                f"halves of it, {count} components, {bits} bits", halves(*wide[0], M, count, seed=seed)
            )
        yield data.judge(
            f"halves of it, 256 components, one start, {bits} bits",
            halves(*wide[0], M, 256, same=True, seed=seed),
        )
        for name, scores in others(q, x, M).items():
            yield data.judge(f"{name}, {bits} bits", scores)


def learning_floats(stored: Any, asked: Any, strength: Strength) -> tuple[Any, Any]:
    """(asked, stored) by the description of as many numbers as features, for quantizers that cut it."""
    whole = learn(stored, d=stored.shape[1], strength=strength).description
    return whole.apply(asked), whole.apply(stored)


def classic_pca(stored: Any, asked: Any, count: int) -> tuple[Any, Any]:
    """(asked, stored) in the first principal components of stored, centred."""
    mean = stored.mean(axis=0)
    axes = np.linalg.eigh(((stored - mean).T @ (stored - mean)).astype(float))[1][:, ::-1][:, :count]
    return tuple(((each - mean) @ axes).astype(np.float32) for each in (asked, stored))  # type: ignore[return-value]


def cluster_scores(asked: Any, stored: Any, M: int, seed: int) -> Any:
    """Scores (Q, N) of codes of M clusterings."""
    return code_scores(asked, stored, clusterings(stored, M, 256, seed))


def code_scores(asked: Any, stored: Any, words: Any) -> Any:
    """Near-cosine scores (Q, N) of asked (Q, d) with the codes of stored (N, d)."""
    return score_codes(tables(asked, words, "near-cosine"), assign(stored, words, "near-cosine"))


def with_fine(scores: Any, p: Any, y: Any, weight: float, first: int = 400) -> Any:
    """The first 400 by code in the order of code + fine score, numbers at 8 bits; the rest after them."""
    step = float(np.abs(y).max()) / 127
    fine = (np.rint(p / step) @ np.rint(y / step).T).astype(np.float32)
    total = scores + np.float32(weight * scores.std(axis=1).mean() / fine.std(axis=1).mean()) * fine
    order = np.argsort(-scores, axis=1, kind="stable")[:, :first]
    out = scores - np.float32(1e6)
    np.put_along_axis(out, order, np.take_along_axis(total, order, 1), 1)
    return out


def others(q: Any, x: Any, M: int) -> dict[str, Any]:
    """Scores (Q, N) by quantizers of faiss, of the same 256 numbers: inner product less ¼ of the squared length, which
    an additive code would have to store (one byte more) or put into the tables."""
    found = {}
    d = x.shape[1]
    index = faiss.IndexPreTransform(faiss.OPQMatrix(d, M), faiss.IndexPQ(d, M, 8))
    index.train(x)
    made: dict[str, Callable[[], Any]] = {
        "OPQ of it": lambda: index.sa_decode(index.sa_encode(x)),
        "residual codebooks of it": lambda: additive(faiss.ResidualQuantizer(d, M, 8), x),
        "additive codebooks of it (local search)": lambda: additive(faiss.LocalSearchQuantizer(d, M, 8), x),
    }
    for name, rebuilt in made.items():
        z = rebuilt()
        found[name] = (q @ z.T - 0.25 * (z**2).sum(axis=1)).astype(np.float32)
    narrow = clusterings(x, 2 * M, 16)
    found["clusterings of it, 16 codewords"] = code_scores(q, x, narrow)
    return found


def additive(quantizer: Any, x: Any) -> Any:
    """x as the quantizer rebuilds it."""
    if hasattr(quantizer, "cp"):
        quantizer.cp.seed = SEED
    quantizer.verbose = False
    quantizer.train(x)
    return quantizer.decode(quantizer.compute_codes(x))


def later(data: Collection, seed: int) -> Iterator[Row]:
    """Learned on the first 10, 30, 100 % of the database in a random order, searched over all of it."""
    order = np.random.default_rng(seed).permutation(len(data.stored))
    for share in (0.1, 0.3, 1.0):
        first = data.stored[np.sort(order[: round(share * len(order))])]
        name = f"learned on {share:.0%}: {len(first):,} pictures"
        description = learn(first, seed=seed).description
        q, x = (description.apply(each) for each in (data.asked, data.stored))
        scores = code_scores(q, x, clusterings(description.apply(first), 8, 256, seed))
        yield data.judge(f"{name}, 64 bits", scores)
        p, y = (each + description.middle for each in (q, x))
        yield data.judge(f"{name}, 64 bits + fine code", with_fine(scores, p, y, share_of(len(first))))
        asked, _ = classic.centre(data.asked, first)
        stored, own = classic.centre(data.stored, first)
        yield data.judge(f"{name}, features centred by them, cosine", asked @ stored.T)
        parts = clusters(own, 8, 256)
        squares = (parts**2).sum(axis=2)
        codes = assign(stored, parts, "distance")
        yield data.judge(f"{name}, PQ 64 bits", score_codes(2 * tables(asked, parts) - squares, codes))


def strengths(data: Collection, seeds: Sequence[int]) -> Iterator[Row]:
    """mAP of 64-bit codes beside the agreement that strengths are chosen by."""
    agreement = learn(data.stored).agreement
    pairs = []
    for strength in STRENGTHS:
        description = learn(data.stored, strength=strength).description
        q, x = (description.apply(each) for each in (data.asked, data.stored))
        name = f"{strength}: agreement {agreement[strength]:.4f}"
        row = Row.mean([data.judge(name, cluster_scores(q, x, 8, seed)) for seed in seeds])
        pairs.append((agreement[strength], row.ap.mean()))
        yield row
    ranks = np.argsort(np.argsort(np.array(pairs), axis=0), axis=0)
    print(f"rank correlation of agreement and mAP: {np.corrcoef(ranks.T)[0, 1]:+.2f}")


if __name__ == "__main__":
    main()

"""Which method makes the best codes of a frozen backbone's features? Every method at every length, and the classics.

    python benchmarks/frozen_methods.py BACKBONE PHOTOS LABELS.csv [--junk COLUMN] [--epochs 30] [--bits 64 128]
        [--methods rcq spq] [--work runs/frozen] [--json FILE]

All heads learn for the same number of epochs from the same cached views of the database's photos (protocol `labelled`:
queries are never learned from). The backbone's features of the whole photos are read once, through encoder.onnx, and
each head turns them into its codes: what `sightbook evaluate` does with one pass of the backbone for each model.
"--nested" trains one more model, whose first bits are codes by themselves. Each figure is mAP@100 of asymmetric codes,
with the junk rule and without it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import sightbook
from sightbook.cli.show import showing
from sightbook.cli.train import split_settings
from sightbook.evaluate.baselines import BASELINES, CLASSIC
from sightbook.evaluate.judge import judge
from sightbook.evaluate.protocols import protocol
from sightbook.evaluate.ranking import Ranker, code_ranker, float_ranker
from sightbook.evaluate.reading import Reading, read
from sightbook.evaluate.relevance import Truth
from sightbook.learn.methods.registry import BUILT_IN
from sightbook.model.model import Model
from sightbook.model.torch.network import load

R = 100


def main() -> None:
    """Trains what is not trained yet, measures, prints one table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("backbone")
    options.add_argument("photos", type=Path)
    options.add_argument("labels", type=Path)
    options.add_argument("--junk")
    options.add_argument("--epochs", type=int, default=30)
    options.add_argument("--bits", type=int, nargs="+", default=[64, 128, 32, 16])
    options.add_argument("--methods", nargs="+", default=list(BUILT_IN))
    options.add_argument("--nested", action="store_true")
    options.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of every model")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--jobs", type=int)
    options.add_argument("--work", type=Path, default=Path("runs/frozen"))
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    split = protocol("labelled").load(given.photos, given.labels, given.junk)
    sources, keys = split.training_part()

    def trained(method: str, bits: int, nested: bool) -> Path:
        told = "".join(f"-{setting}" for setting in given.set)
        name = f"{method}-{bits}{'-nested' if nested else ''}-{given.epochs}-{given.seed}{told}"
        out: Path = given.work / name
        if not (out / "config.json").exists():
            with showing() as listener:
                sightbook.train(
                    sources, out, only=keys, backbone=given.backbone, train_part="head", bits=bits, method=method,
                    nested=nested, epochs=given.epochs, seed=given.seed, jobs=given.jobs, listener=listener,
                    settings={"features.folder": str(given.work / "features")} | split_settings(given.set),
                    resume=out.exists(),
                )  # fmt: skip
        return out

    wanted = [(method, bits, False) for bits in given.bits for method in given.methods]
    if given.nested:
        wanted.append((given.methods[0], max(given.bits), True))
    models = {}
    for method, bits, nested in wanted:
        started = time.monotonic()
        models[method, bits, nested] = trained(method, bits, nested)
        print(f"{method} {bits}{' nested' if nested else ''}: {time.monotonic() - started:.0f} s", flush=True)
    first = Model.open(next(iter(models.values())))
    with showing() as listener:
        reading = read(split, [first], jobs=given.jobs, listener=listener, features=True)
    assert reading.features is not None and reading.query_features is not None
    truths = [_truth(reading, given.junk), _truth(reading, None)] if given.junk else [_truth(reading, None)]

    def maps(ranker: Ranker) -> list[float]:
        return [judge(ranker, truth, name="hits-in-top-R", R=R, jobs=given.jobs or 2).map for truth in truths]

    rows: list[dict[str, Any]] = []

    def row(name: str, bits: int | None, ranker: Ranker, **more: Any) -> None:
        rows.append({"name": name, "bits": bits, "map": maps(ranker), **more})
        shown = "  ".join(f"{value:.4f}" for value in rows[-1]["map"])
        print(f"{name:28} {bits or '–':>4}  {shown}  {more or ''}", flush=True)

    for name in CLASSIC if not given.set else ():
        for bits in [given.bits[0]] if name in ("features", "features-pca") else given.bits:
            row(name, None if name.startswith("features") else bits, BASELINES[name](reading, bits).ranker)
    for (method, bits, nested), folder in models.items():
        network, config = load(folder)
        model = Model.open(folder)
        asked, stored = (_embedded(network, each) for each in (reading.query_features, reading.features))
        if model.fingerprint == first.fingerprint:
            difference = float(np.abs(asked - reading.seen[0].x).max())
            assert difference < 1e-3, f"torch and onnxruntime differ by {difference}"
        codes = model.assign(stored)
        facts = {
            "symmetric": maps(code_ranker(model.symmetric_tables(model.assign(asked)), codes)),
            "float": maps(float_ranker(asked, stored, config.metric)),
            "steps": config.trained["steps"],
        }
        row(method + (" nested" if nested else ""), bits, code_ranker(model.tables(asked), codes), **facts)
        for shorter in config.nested:
            prefix = model.prefix(shorter)
            ranker = code_ranker(prefix.tables(asked[:, : prefix.D]), codes[:, : prefix.M])
            row(f"{method} nested in {bits}", shorter, ranker)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


@torch.inference_mode()
def _embedded(network: Any, features: np.ndarray) -> np.ndarray:
    x: np.ndarray = network.head(torch.from_numpy(features)).numpy()
    return x


def _truth(reading: Reading, junk: str | None) -> Truth:
    parts = (reading.queries, reading.database)
    groups = (None, None) if junk is None else tuple([each.metadata[junk] for each in part] for part in parts)
    return Truth.of(*([each.labels for each in part] for part in parts), *groups)


if __name__ == "__main__":
    main()

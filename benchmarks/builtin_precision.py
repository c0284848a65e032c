"""What does the built-in network lose and gain by precision? Weights of 32 and 16 bits, and 8-bit arithmetic.

Run:  python benchmarks/builtin_precision.py --calibrate PHOTOS [--judge PHOTOS LABELS.csv [--junk COLUMN]]…
The encoder of 8 bits is made by onnxruntime's static quantization: weights by channel, activations by the least and the
largest value on 300 of the PHOTOS, QDQ format. Speed is told as pictures/s and as a ratio to 32 bits, by the processor
time of one thread and by the clock with two, in turns. --judge: mAP@100 of `neighbours`, 64 bits, on labelled photos
(every tenth asks), and of the features themselves; may be repeated.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

sys.path.insert(0, str(Path(__file__).parent))
from tools.described import Collection, score_codes

from sightbook.codes.products import SEED, clusterings
from sightbook.codes.tables import assign, tables
from sightbook.describe.learn import learn
from sightbook.evaluate import classic
from sightbook.evaluate.protocols import protocol
from sightbook.evaluate.relevance import Truth
from sightbook.images.entry import Entry
from sightbook.images.load.pool import Loaded, load
from sightbook.images.sources import open_sources
from sightbook.model import builtin
from sightbook.model.graph import open_session, run, runtime

CALIBRATED, TIMED, BATCH = 300, 128, 64


def main() -> None:
    """Makes the encoders, prints the table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--calibrate", type=Path, required=True)
    options.add_argument("--judge", action="append", nargs=2, type=Path, default=[])
    options.add_argument("--junk", action="append", default=[], help="for each --judge in turn; '-' is none")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    logging.getLogger().setLevel(logging.ERROR)  # the quantizer advises what is done
    known = builtin.read()
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as place:
        drawn = draw(given.calibrate, known)
        encoders = {
            "float32": widen(known.encoder, Path(place) / "float32.onnx"),
            "float16": known.encoder,
            "int8": quantize(Path(place) / "float32.onnx", Path(place) / "int8.onnx", drawn),
        }
        for name, path in encoders.items():
            rows[name] = {"MB": path.stat().st_size / 1e6}
        for threads, clock in ((1, time.process_time), (2, time.perf_counter)):
            for name, speed in measure(encoders, drawn[:TIMED], threads, clock, given.rounds).items():
                rows[name][f"{threads} thread"] = speed
        for name, row in rows.items():
            one, two = (row[f"{threads} thread"] / rows["float32"][f"{threads} thread"] for threads in (1, 2))
            print(
                f"{name:8} {row['MB']:5.2f} MB  one thread {row['1 thread']:5.0f}/s ({one:.2f})  "
                f"two {row['2 thread']:5.0f}/s ({two:.2f})",
                flush=True,
            )
        for number, (photos, labels) in enumerate(given.judge):
            junk = given.junk[number] if number < len(given.junk) and given.junk[number] != "-" else None
            for name, values in judge(encoders, photos, labels, junk, known):
                rows[name][str(photos)] = values
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


def draw(photos: Path, known: builtin.Builtin) -> NDArray[np.uint8]:
    """Pixels of photos by chance."""
    entries = list(open_sources([photos]).entries())
    random = np.random.default_rng(0)
    chosen = random.choice(len(entries), min(CALIBRATED, len(entries)), replace=False)
    loaded = load([entries[place] for place in chosen], known.frame)
    return np.stack([item.pixels for item in loaded if isinstance(item, Loaded)])


def widen(path: Path, out: Path) -> Path:
    """The encoder with its weights as float32, where it has float16 and casts."""
    model = onnx.load(path)
    held = {weight.name: weight for weight in model.graph.initializer}
    for node in [node for node in model.graph.node if node.op_type == "Cast" and node.input[0] in held]:
        weight = held[node.input[0]]
        weight.CopyFrom(
            numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float32), node.output[0])
        )
        model.graph.node.remove(node)
    onnx.save(model, out)
    return out


def quantize(path: Path, out: Path, pixels: NDArray[np.uint8]) -> Path:
    """The encoder with 8-bit convolutions and sums."""
    runtime()
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        """Pixels one by one."""

        def __init__(self) -> None:
            self.left = iter(pixels)

        def get_next(self) -> dict[str, Any] | None:
            picture = next(self.left, None)
            return None if picture is None else {"pixels": picture[None]}

    prepared = out.with_name("prepared.onnx")
    quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
    quantization.quantize_static(
        str(prepared),
        str(out),
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        op_types_to_quantize=["Conv", "Add", "Clip"],
    )
    return out


def measure(
    encoders: dict[str, Path], pixels: NDArray[np.uint8], threads: int, clock: Any, rounds: int
) -> dict[str, float]:
    """Pictures/s of each: medians of rounds in turns."""
    sessions = {name: open_session(path, threads) for name, path in encoders.items()}
    for session in sessions.values():
        run(session, ["features"], pixels[:BATCH])
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(rounds):
        for name, session in sessions.items():
            started = clock()
            run(session, ["features"], pixels)
            seconds[name].append(clock() - started)
    return {name: len(pixels) / statistics.median(took) for name, took in seconds.items()}


def judge(
    encoders: dict[str, Path], photos: Path, labels: Path, junk: str | None, known: builtin.Builtin
) -> Iterator[tuple[str, dict[str, float]]]:
    """mAP of each encoder."""
    split = protocol("labelled").load(photos, labels, junk)
    pictures = {picture.entry.key: picture for picture in (*split.queries, *split.database)}
    asking = {picture.entry.key for picture in split.queries}
    sessions = {name: open_session(path) for name, path in encoders.items()}
    made: dict[str, list[NDArray[np.float32]]] = {name: [] for name in sessions}
    entries: list[Entry] = []
    waiting: list[Loaded] = []

    def forward() -> None:
        pixels = np.stack([item.pixels for item in waiting])
        for name, session in sessions.items():
            made[name] += run(session, ["features"], pixels)
        entries.extend(item.entry for item in waiting)
        waiting.clear()

    for item in load([picture.entry for picture in pictures.values()], known.frame):
        if isinstance(item, Loaded):
            waiting.append(item)
        if len(waiting) == BATCH:
            forward()
    if waiting:
        forward()
    asks = np.array([entry.key in asking for entry in entries])
    parts = [[pictures[entry.key] for entry, yes in zip(entries, asks, strict=True) if yes is np.True_]]
    parts.append([pictures[entry.key] for entry, yes in zip(entries, asks, strict=True) if not yes])
    groups = (None, None) if junk is None else tuple([p.metadata[junk] for p in part] for part in parts)
    truth = Truth.of([p.labels for p in parts[0]], [p.labels for p in parts[1]], *groups)
    for name, rows in made.items():
        features = np.concatenate(rows)
        data = Collection(features[asks], features[~asks], truth, None)
        centred = classic.centre(data.asked, data.stored)
        floats = data.judge("features", centred[0] @ centred[1].T)
        description = learn(data.stored).description
        x, q = (description.apply(each) for each in (data.stored, data.asked))
        words = clusterings(x, 8, 256, SEED)
        codes = assign(x, words, "near-cosine")
        coded = data.judge("neighbours", score_codes(tables(q, words, "near-cosine"), codes))
        print(f"{photos}  {name:8} mAP@100 64 bits {coded.ap.mean():.4f}, features {floats.ap.mean():.4f}")
        sys.stdout.flush()
        yield name, {"neighbours 64 bits": float(coded.ap.mean()), "features": float(floats.ap.mean())}


if __name__ == "__main__":
    main()

"""Cached features of a frozen backbone: it runs once for each picture and view, the head then learns in minutes.

Data flow: pictures uint8 → the fixed view of each and V random ones → backbone, without gradients → float16 in a mapped
file in the order of the pictures' content → a training step takes two of the 1 + V views of each of its pictures.

The library holds fixed views, so codes start from those (`Features.fixed`); random ones alone would teach them crops
and changed colours.

The views of a chunk of pictures are a function of (seed, chunk, view) alone, so a run that was stopped goes on with
the same numbers. The file belongs to what made it (backbone weights, pictures, settings of the views): anything else is
made anew.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sightbook.files import write_atomic
from sightbook.images.pixels.versions import VERSION
from sightbook.learn.mapped import RECORD_SECONDS, check_room, holds, place_of, read_record, reserve
from sightbook.learn.precision import PICTURES, autocast, faster
from sightbook.learn.settings.sections import FeaturesConfig
from sightbook.learn.store import Store
from sightbook.learn.views import Views
from sightbook.model.torch.backbone import Backbone
from sightbook.model.torch.freezing import evaluating
from sightbook.progress import Listener, Meter, Notice

DATA, STATE = ".f16", ".json"
NAME = "features"
CHUNK = 64  # pictures whose views are drawn together
_DTYPES = {"fp32": None, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Features:
    """rows (n, 1 + V, F) float16 of the training pictures, in the order of `Store.train`: the fixed view, then random
    ones."""

    rows: NDArray[np.float16]
    path: Path
    kept: bool = False

    @property
    def fixed(self) -> NDArray[np.float16]:
        """Features (n, F) of the fixed views."""
        return self.rows[:, 0]

    def pairs(self, places: NDArray[np.int64], seed: int, step: int, device: torch.device) -> Tensor:
        """Two different views of each picture: places (B,) in `Store.train` → features (2B, F) float32.

        Row b + i·B is the i-th view of picture b, as `Views` gives them. Random only through (seed, step).
        """
        views = self.rows.shape[1]
        random = np.random.default_rng((seed, 2, step))
        first = random.integers(views, size=len(places))
        second = (first + random.integers(1, views, size=len(places))) % views
        taken = np.concatenate([self.rows[places, first], self.rows[places, second]])
        return torch.from_numpy(taken).to(device, non_blocking=True).float()

    def discard(self) -> None:
        """Removes the files, unless they are kept for other runs."""
        if not self.kept:
            for suffix in (DATA, STATE):
                self.path.with_suffix(suffix).unlink(missing_ok=True)


@dataclass(frozen=True)
class _File:
    """The mapped file of features and, beside it, what it is of and how many chunks it has."""

    path: Path
    key: str
    shape: tuple[int, int, int]

    @property
    def data(self) -> Path:
        return self.path.with_suffix(DATA)

    @property
    def size(self) -> int:
        count, views, features = self.shape
        return count * views * features * 2

    def done(self) -> int | None:
        """Chunks that are in the file already; None when there is no file, or one of something else."""
        said = read_record(self.path.with_suffix(STATE), self.key)
        return said["done"] if said and holds(self.data, self.size) else None

    def open(self) -> np.memmap[Any, np.dtype[np.float16]]:
        """The rows to write to."""
        if self.done() is None:
            # Before the data changes: it must not speak for other data.
            self.path.with_suffix(STATE).unlink(missing_ok=True)
        return reserve(self.data, np.float16, self.shape)

    def record(self, done: int) -> None:
        write_atomic(self.path.with_suffix(STATE), json.dumps({"key": self.key, "done": done}))


def fill(
    backbone: Backbone,
    views: Views,
    store: Store,
    settings: FeaturesConfig,
    *,
    precision: str,
    seed: int,
    held_out: float,
    device: torch.device,
    folder: Path,
    listener: Listener,
) -> Features:
    """The features of all training pictures, read from the file as far as they are there, computed for the rest.

    The file lies in `folder`, or in `features.folder`, where it serves other runs on the same pictures, too. With
    precision auto a file that is there decides, else what is faster here. Ctrl-C loses seconds: the same call goes on.
    """
    count, V = len(store.train), settings.views
    kept = settings.folder is not None
    folder = place_of(settings, folder)
    digest = _digest(backbone, views, store, seed=seed, copies=1 + V, held_out=held_out)
    shape = (count, 1 + V, backbone.features)
    files = _files(digest, shape, folder, list(_DTYPES) if precision == "auto" else [precision], keyed=kept)
    first = next(iter(files.values()))
    what = f"{count:,} pictures × {1 + V} views × {backbone.features} features"
    check_room(first.size, what, settings, first.data, "lower features.views")
    with evaluating(backbone):
        begun = [name for name, file in files.items() if file.done() is not None]
        if begun or len(files) == 1:
            name = (begun or list(files))[0]
        else:
            pictures = np.ascontiguousarray(store.pixels[store.train[:PICTURES]])
            name = _faster(backbone, views.fixed(torch.from_numpy(pictures).to(device)), listener)
        file = files[name]
        left = range(file.done() or 0, -(-count // CHUNK))
        rows = file.open()
        if not left:
            return Features(rows, file.path, kept)
        listener(
            Notice(
                f"the frozen backbone runs once: 1 + {V} views of {count:,} pictures, {file.size / 2**20:,.0f} MiB, "
                f"{name}"
            )
        )
        meter = Meter(listener, "features", count)
        meter.done = min(count, left.start * CHUNK)
        recorded = time.monotonic()
        for chunk in left:
            some = slice(chunk * CHUNK, min(count, (chunk + 1) * CHUNK))
            chosen = torch.from_numpy(np.ascontiguousarray(store.pixels[store.train[some]])).to(device)
            seeds = [seed_of(seed, chunk, view) for view in range(V)]
            rows[some] = compute(backbone, views, chosen, seeds, _DTYPES[name])
            meter.advance(some.stop - some.start)
            if time.monotonic() - recorded > RECORD_SECONDS or chunk == left[-1]:
                rows.flush()
                file.record(chunk + 1)
                recorded = time.monotonic()
        meter.close()
    return Features(rows, file.path, kept)


def _files(
    common: hashlib.blake2b, shape: tuple[int, int, int], folder: Path, precisions: list[str], *, keyed: bool
) -> dict[str, _File]:
    """The file of each precision, by the precision's name. keyed: its own name says what it is of."""
    found = {}
    for name in precisions:
        digest = common.copy()
        digest.update(name.encode())
        key = digest.hexdigest()
        found[name] = _File(folder / (f"{NAME}-{key}" if keyed else NAME), key, shape)
    return found


@torch.inference_mode()
def _faster(backbone: Backbone, drawn: Tensor, listener: Listener) -> str:
    """The precision that runs the backbone faster here, on views (n, 3, side, side)."""

    def forward(network: Backbone, dtype: torch.dtype | None) -> None:
        with autocast(drawn.device, dtype):
            network(drawn)

    name, why = faster(backbone, forward, drawn.device)
    listener(Notice(why))
    return name


@torch.inference_mode()
def compute(
    backbone: Backbone, views: Views, pictures: Tensor, seeds: list[int], dtype: torch.dtype | None
) -> NDArray[np.float16]:
    """(n, 1 + V, F) float16 of pictures (n, R, R, 3) uint8: their fixed view, and a random one by each seed."""
    made = []
    for seed in [None, *seeds]:
        if seed is None:
            drawn = views.fixed(pictures)
        else:
            torch.manual_seed(seed)
            drawn = views(pictures, copies=1)
        with autocast(pictures.device, dtype):
            made.append(backbone(drawn).float().cpu())
    stacked: NDArray[np.float16] = torch.stack(made, 1).clamp(-65504, 65504).half().numpy()
    return stacked


def seed_of(seed: int, chunk: int, view: int) -> int:
    """A seed for torch of its own for every (seed, chunk, view)."""
    digest = hashlib.blake2b(f"{seed} {chunk} {view}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big")


def _digest(
    backbone: Backbone, views: Views, store: Store, *, seed: int, copies: int, held_out: float
) -> hashlib.blake2b:
    """Digest of everything but the precision that the features depend on."""
    digest = hashlib.blake2b(digest_size=16)
    facts: dict[str, Any] = {
        "store": store.fingerprint,
        "views": {
            "views": views.config.model_dump(),
            "size": views.size,
            "resize": store.pixels.shape[1],
            "side": views.side,
            "scaling": [views.mean.flatten().tolist(), views.std.flatten().tolist()],
            "copies": copies,
            "held_out": held_out,
        },
        "seed": seed,
        "pool": backbone.how,
        "decoding": VERSION,
        "torch": torch.__version__,
    }
    digest.update(json.dumps(facts, sort_keys=True).encode())
    for name, tensor in sorted(backbone.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    return digest

"""Cached features of a frozen backbone: it runs once for each picture and view, the head then learns in minutes.

Data flow: pictures uint8 → V random views of each → backbone, without gradients → float16 in a mapped file in the order
of the pictures' content → a training step takes two of the V views of each of its pictures.

The views of a chunk of pictures are a function of (seed, chunk, view) alone, so a run that was stopped goes on with
the same numbers. The file belongs to what made it (backbone weights, pictures, settings of the views): anything else is
made anew.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sightbook.config import TrainConfig
from sightbook.errors import ConfigError
from sightbook.files import write_atomic
from sightbook.learn.precision import autocast
from sightbook.learn.store import Store
from sightbook.learn.views import Views
from sightbook.model.backbone import Backbone
from sightbook.progress import Listener, Meter, Notice

DATA, STATE = ".f16", ".json"
NAME = "features"
_CHUNK = 64  # pictures whose views are drawn together
_RECORD_SECONDS = 5.0


@dataclass(frozen=True)
class Features:
    """rows (n, V, F) float16 of the training pictures, in the order of `Store.train`."""

    rows: NDArray[np.float16]
    path: Path
    kept: bool = False

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


def check_size(count: int, features: int, config: TrainConfig, data: Path) -> int:
    """Bytes that the file of `count` pictures will take. ConfigError above the limit or the free disk space."""
    size = count * config.features.views * features * 2
    limit = config.features.limit_gib * 2**30
    free = shutil.disk_usage(data.parent).free
    needed = f"{count:,} pictures × {config.features.views} views × {features} features need {size / 2**30:.2f} GiB"
    if size > limit:
        raise ConfigError(
            f"{needed}, above features.limit_gib {config.features.limit_gib:g}: raise it, or lower features.views"
        )
    already = data.stat().st_size if data.exists() else 0
    if size - already > free:
        raise ConfigError(
            f"{needed}, but the disk of {data.parent} has {free / 2**30:.2f} GiB left: free some, lower features.views "
            "or give --out on another disk"
        )
    return size


def fill(
    backbone: Backbone,
    views: Views,
    store: Store,
    config: TrainConfig,
    *,
    device: torch.device,
    dtype: torch.dtype | None,
    folder: Path,
    listener: Listener,
) -> Features:
    """The features of all training pictures, read from the file as far as they are there, computed for the rest.

    The file lies in `folder`, or in `features.folder`, where it serves other runs on the same pictures, too. dtype:
    that of the backbone's autocast, None for float32. Ctrl-C loses seconds: the same call goes on.
    """
    count, V = len(store.train), config.features.views
    key = _key(backbone, store, config, dtype)
    kept = config.features.folder is not None
    path = (
        Path(config.features.folder) / f"{NAME}-{key}"
        if config.features.folder is not None
        else folder / NAME
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    data, state = path.with_suffix(DATA), path.with_suffix(STATE)
    size = check_size(count, backbone.features, config, data)
    shape = (count, V, backbone.features)
    done = _done(data, state, key, size)
    if done is None:
        state.unlink(missing_ok=True)  # before the data changes: it must not speak for other data
        rows = np.memmap(data, np.float16, "w+", shape=shape)
        done = 0
    else:
        rows = np.memmap(data, np.float16, "r+", shape=shape)
    chunks = -(-count // _CHUNK)
    if done == chunks:
        return Features(rows, path, kept)
    listener(
        Notice(f"the frozen backbone runs once: {V} views of {count:,} pictures, {size / 2**20:,.0f} MiB")
    )
    meter = Meter(listener, "features", count)
    meter.done = min(count, done * _CHUNK)
    modes = {module: module.training for module in backbone.modules()}
    backbone.eval()
    recorded = time.monotonic()
    try:
        for chunk in range(done, chunks):
            some = slice(chunk * _CHUNK, min(count, (chunk + 1) * _CHUNK))
            rows[some] = _of_chunk(backbone, views, store, config, chunk, device=device, dtype=dtype)
            meter.advance(some.stop - some.start)
            if time.monotonic() - recorded > _RECORD_SECONDS or chunk == chunks - 1:
                rows.flush()
                write_atomic(state, json.dumps({"key": key, "done": chunk + 1}))
                recorded = time.monotonic()
    finally:
        for module, mode in modes.items():
            module.training = mode
    meter.close()
    return Features(rows, path, kept)


@torch.inference_mode()
def _of_chunk(
    backbone: Backbone,
    views: Views,
    store: Store,
    config: TrainConfig,
    chunk: int,
    *,
    device: torch.device,
    dtype: torch.dtype | None,
) -> NDArray[np.float16]:
    """(n, V, F) float16 of a chunk's pictures."""
    places = store.train[chunk * _CHUNK : (chunk + 1) * _CHUNK]
    pictures = torch.from_numpy(np.ascontiguousarray(store.pixels[places])).to(device)
    made = []
    for view in range(config.features.views):
        torch.manual_seed(_seed(config.seed, chunk, view))
        drawn = views(pictures, copies=1)
        with autocast(device, dtype):
            made.append(backbone(drawn).float().cpu())
    stacked: NDArray[np.float16] = torch.stack(made, 1).clamp(-65504, 65504).half().numpy()
    return stacked


def _seed(seed: int, chunk: int, view: int) -> int:
    """A seed for torch of its own for every (seed, chunk, view)."""
    digest = hashlib.blake2b(f"{seed} {chunk} {view}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big")


def _key(backbone: Backbone, store: Store, config: TrainConfig, dtype: torch.dtype | None) -> str:
    """Digest of everything the features depend on."""
    digest = hashlib.blake2b(digest_size=16)
    facts: dict[str, Any] = {
        "store": store.fingerprint,
        "views": _decisive(config),
        "seed": config.seed,
        "dtype": str(dtype),
        "pool": backbone.how,
        "torch": torch.__version__,
    }
    digest.update(json.dumps(facts, sort_keys=True).encode())
    for name, tensor in sorted(backbone.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()


def _decisive(config: TrainConfig) -> dict[str, Any]:
    """What decides the views' pixels."""
    return {
        "views": config.views.model_dump(),
        "size": config.size,
        "resize": config.resize,
        "side": config.view_size,
        "copies": config.features.views,
        "held_out": config.held_out,
    }


def _done(data: Path, state: Path, key: str, size: int) -> int | None:
    """Chunks that are in the file already; None when there is no file, or one of something else."""
    try:
        told = json.loads(state.read_text(encoding="utf-8"))
        if told["key"] == key and data.stat().st_size == size:
            return int(told["done"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None

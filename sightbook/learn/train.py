"""`sightbook.train`: pictures → MODEL folder. The function that the command calls is the one Python users call.

Data flow: settings → config → store of decoded pictures → network → `trainer.fit` → verdict → MODEL folder (weights,
codebooks, encoder.onnx, card, curves; config.json last: a folder without it is not a model yet, and can be resumed).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from sightbook import __version__
from sightbook.arguments import (
    count,
    described,
    flag,
    function,
    mapping,
    number,
    optional,
    path_like,
    paths,
    takes,
    text,
    whole,
)  # fmt: skip
from sightbook.describe.learn import Strength
from sightbook.errors import ConfigError, MissingExtra, PictureError
from sightbook.files import write_atomic
from sightbook.images.pixels.decode import measure
from sightbook.learn.asked import Asked
from sightbook.learn.choice import able, choose
from sightbook.learn.frozen import FrozenNetwork, as_shipped, frozen_builtin
from sightbook.learn.methods.registry import from_file, hidden, split_file
from sightbook.learn.neighbours import hold_vectors, learn_vectors
from sightbook.learn.place import claim, first_rank, occupying
from sightbook.learn.report import TrainReport
from sightbook.learn.resolved import complete, name_backbone, reasons, take_up
from sightbook.learn.settings.config import TrainConfig, dump
from sightbook.learn.settings.layers import read_file
from sightbook.learn.sitting import Sitting
from sightbook.learn.store import Keys, Path_, open_entries
from sightbook.model.builtin import BUILTIN
from sightbook.model.networks import BackboneConfig
from sightbook.progress import Listener, Notice, silent

_LOOKED_AT = 64


def _keys(value: Any, name: str) -> frozenset[tuple[str, str]]:
    """Keys of pictures, (source, path)."""
    found = list(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else [value]
    if not all(
        isinstance(key, tuple) and len(key) == 2 and all(isinstance(part, str) for part in key)
        for key in found
    ):
        raise ConfigError(
            f"{name} is {described(value)}: give the keys (source, path) of pictures, as Entry.key has them"
        )
    return frozenset(found)


_ASKED = {
    "bits": optional(whole), "nested": flag, "method": optional(text), "backbone": optional(path_like),
    "train_part": optional(text), "preset": optional(text), "epochs": optional(whole), "minutes": optional(number),
    "device": text, "config": optional(path_like), "settings": optional(mapping), "seed": optional(whole),
    "resume": flag, "only": optional(_keys), "listener": function,
}  # fmt: skip


@takes(source=paths, out=path_like, jobs=optional(count), judge=flag, **_ASKED)
def train(
    source: Path_ | Sequence[Path_],
    out: Path_,
    *,
    bits: int | None = None,
    nested: bool = False,
    method: str | None = None,
    backbone: str | None = None,
    train_part: str | None = None,
    preset: str | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    device: str = "auto",
    config: Path_ | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int | None = None,
    resume: bool = False,
    jobs: int | None = None,
    only: Keys | None = None,
    judge: bool = True,
    listener: Listener = silent,
) -> TrainReport:
    """Learns a model from the pictures of `source` and writes it to the new folder `out`.

    source: one or several folders, .tar or .parquet files, or globs of those; or files of vectors, .npy or .parquet,
    which are learned from as by `Model.fit`, without torch, and take `bits` only. method: one of `methods.names()`, or
    FILE.py:NAME, a method of your own in a Python file, which is run. bits: 16 to 128 (default 64); nested:
    the first 16, 32 and 64 bits of a longer code are good codes by themselves, too. backbone: vit, resnet, a hub name,
    a local folder in the hub's layout, builtin: the network that comes with the program, or auto: a good pretrained one
    if there is one within reach; None: chosen by the pictures (`choice.choose`), for photos a pretrained one.
    train_part: what of a pretrained one is trained, all, last:N blocks, or head: nothing of it, and codes are learned
    in closed form from its features (method neighbours, no budget needed; no torch with builtin). The budget of every
    other method is `epochs` (0 writes the
    untrained model) or `minutes` of training, decoding and export not counted (default 10).
    settings: {"tau": 0.2} or {"views.crop_min": "0.3"}, over the YAML file `config`, over the preset (small up to
    64 pixels, photo above, or paper). only: the keys (`Entry.key`) of the pictures to learn from, where that is a part
    of the sources. resume: go on from the last checkpoint in `out`, with the settings it began with. judge: hold the
    codes against colour thumbnails and the built-in network, too, which takes some seconds.

    Raises SourceError (no readable picture), ConfigError (settings that are unknown or do not fit, `out` not empty),
    ModelError (a backbone or checkpoint that cannot be used), MissingExtra (torch is not installed).

    >>> sightbook.train("photos", "model", bits=64, minutes=10)
    """
    sources = paths_of(source)
    asked = Asked(
        bits=bits, nested=nested, method=method, backbone=backbone, train_part=train_part, preset=preset,
        epochs=epochs, minutes=minutes, device=device, config=config, settings=settings, seed=seed, resume=resume,
        only=only,
    )  # fmt: skip
    folder = Path(out)
    if hold_vectors(sources):
        given, bits = asked.of_steps(jobs), 64 if bits is None else bits
        return learn_vectors(sources, folder, __version__, bits=bits, method=method, given=given)
    first = first_rank()
    sitting = Sitting(sources, folder, __version__, jobs, only, judge, listener if first else silent)
    resolved, _ = _settle(sources, folder, asked, sitting.listener)
    with occupying(folder, resume):
        if first:
            write_atomic(sitting.work / "config.yaml", dump(resolved))
        if not resolved.closed_form:
            from sightbook.learn.session import run_session

            return run_session(sitting, resolved, device)
        from sightbook.learn.closed import run_closed

        strength = resolved.strength
        return run_closed(
            sitting,
            _open_network(resolved.backbone, resolved.size, resolved.resize, device),
            bits=resolved.bits,
            strength=None if strength is None else Strength(**strength.model_dump()),
            seed=resolved.seed,
            features=resolved.features,
            settings=resolved.model_dump(),
        )


def paths_of(source: Path_ | Sequence[Path_]) -> list[str]:
    """One source or several, as texts."""
    return [os.fspath(each) for each in ([source] if isinstance(source, str | os.PathLike) else source)]


@takes(source=paths, out=optional(path_like), **_ASKED)
def resolve(
    source: Path_ | Sequence[Path_],
    out: Path_ | None = None,
    *,
    bits: int | None = None,
    nested: bool = False,
    method: str | None = None,
    backbone: str | None = None,
    train_part: str | None = None,
    preset: str | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    device: str = "auto",
    config: Path_ | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int | None = None,
    resume: bool = False,
    only: Keys | None = None,
    listener: Listener = silent,
) -> TrainConfig:
    """The settings that `train` would learn with, as MODEL/train/config.yaml would hold them; nothing is written.

    Takes what `train` takes, and raises what it would raise before it begins; `out` may be left out, but for `resume`.
    The listener hears in one sentence each what was chosen by itself, and why.

    >>> resolve("photos", method="spq").batch
    256
    """
    sources = paths_of(source)
    asked = Asked(
        bits=bits, nested=nested, method=method, backbone=backbone, train_part=train_part, preset=preset,
        epochs=epochs, minutes=minutes, device=device, config=config, settings=settings, seed=seed, resume=resume,
        only=only,
    )  # fmt: skip
    if hold_vectors(sources):
        raise ConfigError(
            "vectors are learned from in closed form and take --bits only: there are no settings to show"
        )
    if resume and out is None:
        raise ConfigError("--resume goes on with a folder: name it by --out")
    resolved, why = _settle(sources, None if out is None else Path(out), asked, listener)
    if device not in ("auto", "cpu"):
        from sightbook.learn.session import find_device

        find_device(device)
    for sentence in why:
        listener(Notice(sentence))
    return resolved


def _open_network(settings: BackboneConfig, size: int, resize: int, device: str) -> FrozenNetwork:
    """The network that the settings name: as it is shipped where that will do, else by torch."""
    if _is_shipped(settings, size, device):
        return frozen_builtin(size, resize)
    from sightbook.learn.pretrained import frozen_pretrained

    return frozen_pretrained(settings, size, resize, device)


def _settle(
    sources: Sequence[str], folder: Path | None, asked: Asked, listener: Listener
) -> tuple[TrainConfig, list[str]]:
    """The settings of a run, and why those that nobody gave are what they are. folder: checked that it may be used."""
    file, method = (None, None) if asked.method is None else split_file(asked.method)
    mine = asked.overlay(method)
    backbone, preset, resume = asked.backbone, asked.preset, asked.resume
    settled = None if folder is None else folder / "train" / "config.yaml"
    kept = read_file(settled) if resume and settled is not None and settled.exists() else {}
    network = next((name for name in (backbone, name_backbone(mine), name_backbone(kept)) if name), None)
    if (file is not None or network not in (None, "auto", BUILTIN)) and not able():
        raise MissingExtra("training", "train")
    if file is not None:
        from_file(file, str(method))
    if asked.nested and resume:
        raise ConfigError(f"{folder} keeps the settings it was begun with: resume it without --nested")
    if resume and backbone == "auto":
        backbone = None  # it was chosen when the run began
    if folder is not None and first_rank():
        claim(folder, resume)
    if resume and settled is not None:
        resolved = take_up(settled.parent, mine, backbone, preset)
        why = [f"{folder} keeps the settings it was begun with"]
    else:
        shorter, count = _look_at(sources, asked.only)
        choice = choose(mine, preset, backbone, shorter)
        wanted = (choice.asked, preset, choice.backbone, shorter)
        resolved = complete(*wanted, nested=asked.nested, pictures=count)
        gpu = _is_for_gpu(resolved, asked.device)
        if gpu:
            resolved = complete(*wanted, nested=asked.nested, pictures=count, gpu=True)
        why = reasons(resolved, choice, preset=preset, shorter=shorter, pictures=count, gpu=gpu)
        for sentence in choice.why:
            listener(Notice(sentence))
    # Over the built-in network as it is shipped nothing but onnxruntime is needed.
    shipped = resolved.closed_form and _is_shipped(resolved.backbone, resolved.size, asked.device)
    if not shipped and not able():
        raise MissingExtra("training", "train")
    if not resolved.closed_form:
        resolved.clipped(resolved.batch)
    for sentence in hidden():
        listener(Notice(sentence))
    return resolved, why


def _is_for_gpu(config: TrainConfig, device: str) -> bool:
    """Whether a network learns from scratch on a GPU; torch is imported for networks alone."""
    if config.backbone.kind == "pretrained" or device == "cpu" or not able():
        return False
    from sightbook.learn.session import find_device

    return find_device(device).type == "cuda"


def _is_shipped(network: BackboneConfig, size: int, device: str) -> bool:
    """Whether it is the built-in network as its graph is."""
    return network.name == BUILTIN and as_shipped(size, network.pool, device)


def _look_at(sources: Sequence[str], only: Keys | None) -> tuple[int, int]:
    """(median shorter side of some pictures from all over the sources, in pixels; how many pictures there are)."""
    _, entries = open_entries(sources, only)
    sides = []
    for entry in entries[:: max(1, len(entries) // _LOOKED_AT)]:
        try:
            sides.append(min(measure(entry.read())))
        except PictureError:
            continue  # named later, when every picture is decoded
    return int(median(sides)) if sides else 224, len(entries)

"""`sightbook.train`: pictures → MODEL folder. The function that the command calls is the one Python users call.

Data flow: settings → config → store of decoded pictures → network → `trainer.fit` → verdict → MODEL folder (weights,
codebooks, encoder.onnx, card, curves; config.json last: a folder without it is not a model yet, and can be resumed).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
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
from sightbook.images.pixels.decode import limits, measure
from sightbook.images.sources import open_sources
from sightbook.learn.choice import able, choose
from sightbook.learn.frozen import Frozen, as_shipped, frozen_builtin
from sightbook.learn.methods.registry import from_file, hidden, split_file
from sightbook.learn.neighbours import hold_vectors, learn_vectors
from sightbook.learn.report import TrainReport
from sightbook.learn.resolved import complete, name_backbone, overlay, reasons, take_up
from sightbook.learn.settings.config import TrainConfig, dump
from sightbook.learn.settings.layers import read_file
from sightbook.model.builtin import BUILTIN
from sightbook.model.networks import BackboneConfig
from sightbook.progress import Listener, Notice, silent

# What an interrupted run has paid for: learned weights, features of a frozen backbone.
_WORTH_KEEPING = ("checkpoint.safetensors", "features.json", "fixed.json")
_LOOKED_AT = 64

Path_ = str | os.PathLike[str]


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


@takes(
    source=paths, out=path_like, bits=optional(whole), nested=flag, method=optional(text),
    backbone=optional(path_like), train_part=optional(text), preset=optional(text), epochs=optional(whole),
    minutes=optional(number), device=text, config=optional(path_like), settings=optional(mapping), seed=optional(whole),
    resume=flag, only=optional(_keys), jobs=optional(count), judge=flag, listener=function,
)  # fmt: skip
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
    only: Collection[tuple[str, str]] | None = None,
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
    sources = [source] if isinstance(source, (str, os.PathLike)) else list(source)
    folder = Path(out)
    paths = [os.fspath(each) for each in sources]
    if hold_vectors(paths):
        given = {
            "--backbone": backbone is not None, "--train": train_part is not None, "--preset": preset is not None,
            "--nested": nested, "--epochs": epochs is not None, "--minutes": minutes is not None,
            "--device": device not in ("auto", "cpu"), "--config": config is not None, "--set": bool(settings),
            "--seed": seed is not None, "--resume": resume, "--jobs": jobs is not None, "only": only is not None,
        }  # fmt: skip
        return learn_vectors(
            paths, folder, __version__, bits=64 if bits is None else bits, method=method, given=given
        )
    first = first_rank()
    resolved, _ = _settle(
        sources,
        folder,
        bits=bits,
        nested=nested,
        method=method,
        backbone=backbone,
        train_part=train_part,
        preset=preset,
        epochs=epochs,
        minutes=minutes,
        device=device,
        config=config,
        settings=settings,
        seed=seed,
        resume=resume,
        only=only,
        listener=listener if first else silent,
    )
    work = folder / "train"
    existed = folder.exists()
    if first:  # another rank that was faster would make the folder look occupied to the first
        work.mkdir(parents=True, exist_ok=True)
    try:
        if first:
            write_atomic(work / "config.yaml", dump(resolved))
        if resolved.closed_form:
            from sightbook.learn.closed import run_closed

            strength = resolved.strength
            return run_closed(
                [os.fspath(item) for item in sources],
                folder,
                _open_network(resolved.backbone, resolved.size, resolved.resize, device),
                bits=resolved.bits,
                strength=None if strength is None else Strength(**strength.model_dump()),
                seed=resolved.seed,
                features=resolved.features,
                settings=resolved.model_dump(),
                jobs=jobs,
                version=__version__,
                only=None if only is None else frozenset(only),
                judge=judge,
                listener=listener if first else silent,
            )
        from sightbook.learn.session import run_session

        return run_session(
            [os.fspath(item) for item in sources],
            folder,
            resolved,
            device_name=device,
            jobs=jobs,
            version=__version__,
            only=None if only is None else frozenset(only),
            judge=judge,
            listener=listener if first else silent,
        )
    except BaseException:
        # Nothing was learned yet, by a mistake or by Ctrl-C: the folder must be free for the corrected command.
        begun = any((work / name).exists() for name in _WORTH_KEEPING)
        if first and not resume and not begun:
            shutil.rmtree(work if existed else folder, ignore_errors=True)
        raise


@takes(
    source=paths, out=optional(path_like), bits=optional(whole), nested=flag, method=optional(text),
    backbone=optional(path_like), train_part=optional(text), preset=optional(text), epochs=optional(whole),
    minutes=optional(number), device=text, config=optional(path_like), settings=optional(mapping), seed=optional(whole),
    resume=flag, only=optional(_keys), listener=function,
)  # fmt: skip
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
    only: Collection[tuple[str, str]] | None = None,
    listener: Listener = silent,
) -> TrainConfig:
    """The settings that `train` would learn with, as MODEL/train/config.yaml would hold them; nothing is written.

    Takes what `train` takes, and raises what it would raise before it begins; `out` may be left out, but for `resume`.
    The listener hears in one sentence each what was chosen by itself, and why.

    >>> resolve("photos", method="spq").batch
    256
    """
    sources = [source] if isinstance(source, (str, os.PathLike)) else list(source)
    if hold_vectors([os.fspath(each) for each in sources]):
        raise ConfigError(
            "vectors are learned from in closed form and take --bits only: there are no settings to show"
        )
    if resume and out is None:
        raise ConfigError("--resume goes on with a folder: name it by --out")
    resolved, why = _settle(
        sources,
        None if out is None else Path(out),
        bits=bits,
        nested=nested,
        method=method,
        backbone=backbone,
        train_part=train_part,
        preset=preset,
        epochs=epochs,
        minutes=minutes,
        device=device,
        config=config,
        settings=settings,
        seed=seed,
        resume=resume,
        only=only,
        listener=listener,
    )
    if device not in ("auto", "cpu"):
        from sightbook.learn.session import find_device

        find_device(device)
    for sentence in why:
        listener(Notice(sentence))
    return resolved


def _open_network(settings: BackboneConfig, size: int, resize: int, device: str) -> Frozen:
    """The network that the settings name: as it is shipped where that will do, else by torch."""
    if settings.name == BUILTIN and as_shipped(size, settings.pool, device):
        return frozen_builtin(size, resize)
    from sightbook.learn.pretrained import frozen_pretrained

    return frozen_pretrained(settings, size, resize, device)


def _settle(
    sources: Sequence[Path_],
    folder: Path | None,
    *,
    bits: int | None,
    nested: bool,
    method: str | None,
    backbone: str | None,
    train_part: str | None,
    preset: str | None,
    epochs: int | None,
    minutes: float | None,
    device: str,
    config: Path_ | None,
    settings: Mapping[str, Any] | None,
    seed: int | None,
    resume: bool,
    only: Collection[tuple[str, str]] | None,
    listener: Listener,
) -> tuple[TrainConfig, list[str]]:
    """The settings of a run, and why those that nobody gave are what they are. folder: checked that it may be used."""
    file, method = (None, None) if method is None else split_file(method)
    asked = overlay(
        config,
        settings,
        epochs=epochs,
        minutes=minutes,
        method=method,
        bits=bits,
        seed=seed,
        backbone=None if train_part is None else {"train": train_part},
    )
    settled = None if folder is None else folder / "train" / "config.yaml"
    kept = read_file(settled) if resume and settled is not None and settled.exists() else {}
    network = next((name for name in (backbone, name_backbone(asked), name_backbone(kept)) if name), None)
    if (file is not None or network not in (None, "auto", BUILTIN)) and not able():
        raise MissingExtra("training", "train")
    if file is not None:
        from_file(file, str(method))
    if nested and resume:
        raise ConfigError(f"{folder} keeps the settings it was begun with: resume it without --nested")
    if resume and backbone == "auto":
        backbone = None  # it was chosen when the run began
    if folder is not None and first_rank():
        _claim(folder, resume)
    if resume and settled is not None:
        resolved = take_up(settled.parent, asked, backbone, preset)
        why = [f"{folder} keeps the settings it was begun with"]
    else:
        shorter, count = _look_at(sources, only)
        choice = choose(asked, preset, backbone, shorter)
        resolved = complete(choice.asked, preset, choice.backbone, shorter, nested=nested, pictures=count)
        why = reasons(resolved, choice, preset=preset, shorter=shorter, pictures=count)
        for sentence in choice.why:
            listener(Notice(sentence))
    # Over the built-in network as it is shipped nothing but onnxruntime is needed.
    shipped = (
        resolved.closed_form
        and resolved.backbone.name == BUILTIN
        and as_shipped(resolved.size, resolved.backbone.pool, device)
    )
    if not shipped and not able():
        raise MissingExtra("training", "train")
    if not resolved.closed_form:
        resolved.clipped(resolved.batch)
    for sentence in hidden():
        listener(Notice(sentence))
    return resolved, why


def first_rank() -> bool:
    """Whether this process writes and speaks: alone, or the first of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def _claim(folder: Path, resume: bool) -> None:
    """The output folder must be new or empty, or hold an unfinished run that is to be resumed."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file: give another folder as --out")
    occupied = folder.exists() and any(folder.iterdir())
    if (folder / "config.json").exists():
        hint = "it is finished and needs no --resume" if resume else "nothing is overwritten"
        raise ConfigError(f"{folder} already holds a model: {hint}; give another folder as --out")
    if resume and not (folder / "train" / "config.yaml").exists():
        raise ConfigError(f"{folder} holds no training run to resume: start it without --resume")
    if occupied and not resume:
        hint = (
            "add --resume to go on with it, or give"
            if (folder / "train" / "config.yaml").exists()
            else "give"
        )
        raise ConfigError(f"{folder} is not empty: {hint} another folder as --out")


def _look_at(sources: Sequence[Path_], only: Collection[tuple[str, str]] | None = None) -> tuple[int, int]:
    """(median shorter side of some pictures from all over the sources, in pixels; how many pictures there are)."""
    entries = list(open_sources([Path(item) for item in sources]).entries())
    if only is not None:
        entries = [entry for entry in entries if entry.key in only]
    sides = []
    for entry in entries[:: max(1, len(entries) // _LOOKED_AT)]:
        try:
            sides.append(min(measure(entry.read(limits().bytes))))
        except PictureError:
            continue  # named later, when every picture is decoded
    return int(median(sides)) if sides else 224, len(entries)

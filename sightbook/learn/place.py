"""The folder that learning writes to: whether it may be used, and what stays of it when learning ends early."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sightbook.errors import ConfigError

# What an interrupted run has paid for: learned weights, features of a frozen backbone.
_WORTH_KEEPING = ("checkpoint.safetensors", "features.json", "fixed.json")


def first_rank() -> bool:
    """Whether this process writes and speaks: alone, or the first of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def claim(folder: Path, resume: bool) -> None:
    """The output folder must be new or empty, or hold an unfinished run that is to be resumed."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file: give another folder as --out")
    occupied = folder.exists() and any(folder.iterdir())
    if (folder / "config.json").exists():
        hint = "it is finished and needs no --resume" if resume else "nothing is overwritten"
        raise ConfigError(f"{folder} already holds a model: {hint}; give another folder as --out")
    begun = (folder / "train" / "config.yaml").exists()
    if resume and not begun:
        raise ConfigError(f"{folder} holds no training run to resume: start it without --resume")
    if occupied and not resume:
        hint = "add --resume to go on with it, or give" if begun else "give"
        raise ConfigError(f"{folder} is not empty: {hint} another folder as --out")


@contextmanager
def occupying(folder: Path, resume: bool) -> Iterator[None]:
    """Makes the folder for the time of learning. Where nothing was learned yet, by a mistake or by Ctrl-C, it is free
    again afterwards for the corrected command. The first rank does so: one that was faster would make the folder look
    occupied to it."""
    work, existed = folder / "train", folder.exists()
    if first_rank():
        work.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        begun = any((work / name).exists() for name in _WORTH_KEEPING)
        if first_rank() and not resume and not begun:
            _empty(folder)
            if not existed:
                shutil.rmtree(folder, ignore_errors=True)
        raise


def _empty(folder: Path) -> None:
    """Removes what the folder holds. It stays itself: it may be a link, or a disk."""
    for each in list(folder.iterdir()) if folder.is_dir() else []:
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each, ignore_errors=True)
        else:
            each.unlink(missing_ok=True)

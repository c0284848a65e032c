"""The LIBRARY folder: what makes a folder a library, opening one, its catalogue, library.json and model kept in step.

A folder without library.json holds no library yet (catalogue/create.py).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sightbook.catalogue import catalogue as tables
from sightbook.catalogue import lock
from sightbook.catalogue.catalogue import Catalogue
from sightbook.catalogue.versions import FORMAT
from sightbook.errors import LibraryError, ModelError, typed
from sightbook.files import write_atomic

JSON = "library.json"
NEW_MODEL = "model.new"  # of a migration that is under way
LEARNING = "learning"  # while the model of a new library is learned

# What an interrupted making may have left; anything else in a folder means that it belongs to somebody else.
_OURS = ("model", tables.NAME, lock.NAME, "cache", LEARNING)
_OURS_BEGIN = (f"{tables.NAME}-", ".model.", f".{JSON}.")


@dataclass(frozen=True, slots=True)
class Facts:
    """library.json: what must be known before anything else is touched. fine: as `catalogue.fine` says; format: the
    version of the catalogue's tables, so that an older program stops before it looks at them."""

    fingerprint: str
    M: int
    K: int
    created: str
    fine: int | None = None
    format: int = FORMAT

    @property
    def fine_bytes(self) -> int:
        """Bytes of a fine code; 0: none are kept."""
        return self.fine or 0

    @property
    def bits(self) -> int:
        """Length of a code: M · log2 K."""
        return self.M * (self.K.bit_length() - 1)

    @property
    def code_bytes(self) -> int:
        """Bytes of a packed code."""
        return (self.bits + 7) // 8


def read_facts(path: Path) -> Facts:
    """Reads library.json; LibraryError says why `path` is no library that this program can use."""
    try:
        content: Any = json.loads((path / JSON).read_text(encoding="utf-8"))
        newer = content["format"] > FORMAT
    except (FileNotFoundError, NotADirectoryError):
        raise LibraryError(_no_library(path)) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LibraryError(
            f"{path / JSON} cannot be read ({type(error).__name__}: {error}): restore it from a copy of the library"
        ) from None
    if newer:
        raise LibraryError(
            f"{path} has library format {content['format']}, this program reads up to {FORMAT}: update sightbook "
            "(pip install -U sightbook)"
        )
    try:
        fine = content.get("fine")
        facts = Facts(
            str(content["fingerprint"]),
            int(content["M"]),
            int(content["K"]),
            str(content["created"]),
            None if fine is None else int(fine),
            int(content["format"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise LibraryError(
            f"{path / JSON} is damaged ({type(error).__name__}: {error}): restore it from a copy of the library"
        ) from None
    if not (path / tables.NAME).is_file():
        raise LibraryError(
            f"{path} has lost its {tables.NAME}: copy the whole library again, or build a new one from the same sources"
        )
    return facts


def facts_of(path: Path, fingerprint: str, fine: int | None) -> Facts:
    """What library.json says, or will say once the swap of a migration is finished: the facts of the model whose
    fingerprint the catalogue names, with the fine codes that are in it. LibraryError when that model is not here."""
    facts = read_facts(path)
    if facts.fingerprint == fingerprint:
        return replace(facts, fine=fine)
    from sightbook.model.config import ModelConfig

    with contextlib.suppress(ModelError):
        config = ModelConfig.read(model_of(path, fingerprint))
        if config.fingerprint == fingerprint:
            return Facts(fingerprint, config.M, config.K, facts.created, fine, facts.format)
    raise LibraryError(
        f"the catalogue of {path} does not belong to its library.json: copy the whole library again, "
        "or build a new one from the same sources"
    )


def exists(path: Path) -> bool:
    """Whether `path` holds a finished library; an absent, empty or half-made folder does not."""
    if (path / JSON).exists():
        return True
    if path.is_dir() and all(_is_ours(item.name) for item in path.iterdir()):
        return False
    if not path.exists():
        return False
    raise LibraryError(_no_library(path))


def model_of(path: Path, fingerprint: str) -> Path:
    """The folder of the model whose fingerprint the catalogue names: `model`, or `model.new` while the swap of a
    migration is being finished, or cannot be because the disk is read-only."""
    from sightbook.model.config import ModelConfig

    with contextlib.suppress(ModelError):
        if ModelConfig.read(path / NEW_MODEL).fingerprint == fingerprint:
            return path / NEW_MODEL
    return path / "model"


def size(path: Path) -> int:
    """Bytes the folder's files take; what a writer removes meanwhile does not count."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += Path(folder, name).stat().st_size
    return total


def open_catalogue(path: Path) -> Catalogue:
    """The catalogue for writing, of today's version, with library.json and the model in step; the caller holds the
    writer lock."""
    catalogue = Catalogue.write(path / tables.NAME)
    try:
        catch_up(path, catalogue.fingerprint, catalogue.fine)
    except BaseException:
        catalogue.close()
        raise
    return catalogue


def catch_up(path: Path, fingerprint: str, fine: int | None) -> bool:
    """Finishes the swap of a migration that was committed: the model and library.json become those that the catalogue,
    whose fingerprint and fine codes these are, has codes of. Whether there was something to do; the caller holds the
    writer lock.
    """
    from sightbook.model.config import ModelConfig

    waiting = path / NEW_MODEL
    if not (waiting / "config.json").exists() or ModelConfig.read(waiting).fingerprint != fingerprint:
        facts = read_facts(path)
        now = replace(facts, fine=fine, format=FORMAT)
        if facts.fingerprint != fingerprint or facts == now:
            return False
        # Brought up by `open_catalogue`, or fine codes declined before a crash.
        write_atomic(path / JSON, tell(now))
        return True
    config = ModelConfig.read(waiting)
    told = tell(Facts(config.fingerprint, config.M, config.K, read_facts(path).created, fine))
    # Each step leaves a state that this function goes on from.
    old = path / ".model.old"
    shutil.rmtree(old, ignore_errors=True)
    if (path / "model").exists():
        (path / "model").rename(old)
    write_atomic(path / JSON, told)
    waiting.rename(path / "model")
    shutil.rmtree(old, ignore_errors=True)
    return True


def tell(facts: Facts) -> str:
    """What library.json is to hold."""
    content: dict[str, Any] = {"format": facts.format, "fingerprint": facts.fingerprint}
    content |= {"M": facts.M, "K": facts.K, "bits": facts.bits, "created": facts.created}
    if facts.fine is not None:
        content["fine"] = facts.fine
    return json.dumps(content, indent=2) + "\n"


def _is_ours(name: str) -> bool:
    return name in _OURS or name.startswith(_OURS_BEGIN)


def _no_library(path: Path) -> str:
    if not path.exists():
        return f"there is no library at {path}: `sightbook add {typed(path)} SOURCE` makes one"
    if path.is_dir() and any(path.iterdir()) and all(_is_ours(item.name) for item in path.iterdir()):
        return (
            f"the making of the library {path} was interrupted: run "
            f"`sightbook add {typed(path)} SOURCE` again to finish it"
        )
    if path.is_dir() and not any(path.iterdir()):
        return f"{path} is empty, not a library: `sightbook add {typed(path)} SOURCE` makes one in it"
    return f"{path} is not a sightbook library (no {JSON}): give the folder that `sightbook add` made, or a new one"

"""The LIBRARY folder: what makes a folder a library, making one so that no interruption can leave a trap, opening one.

library.json is written last: a folder without it holds no library yet. Each step before it can be repeated.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightbook.errors import LibraryError, ModelError, typed
from sightbook.files import write_atomic
from sightbook.library import catalogue as tables
from sightbook.library import lock
from sightbook.library.catalogue import Catalogue
from sightbook.library.database import explained
from sightbook.library.lock import writer_lock

if TYPE_CHECKING:
    from sightbook.model.model import Model

FORMAT = 1
JSON = "library.json"
NEW_MODEL = "model.new"  # of a migration that is under way

# What an interrupted making may have left; anything else in a folder means that it belongs to somebody else.
_OURS = ("model", tables.NAME, lock.NAME, "cache")
_OURS_BEGIN = (f"{tables.NAME}-", ".model.", f".{JSON}.")


@dataclass(frozen=True, slots=True)
class Facts:
    """library.json: what must be known before anything else is touched."""

    fingerprint: str
    M: int
    K: int
    created: str

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
        facts = Facts(
            str(content["fingerprint"]), int(content["M"]), int(content["K"]), str(content["created"])
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


def facts_of(path: Path, fingerprint: str) -> Facts:
    """What library.json says, or will say once the swap of a migration is finished: the facts of the model whose
    fingerprint the catalogue names. LibraryError when that model is not here."""
    facts = read_facts(path)
    if facts.fingerprint == fingerprint:
        return facts
    from sightbook.model.config import ModelConfig

    with contextlib.suppress(ModelError):
        config = ModelConfig.read(model_of(path, fingerprint))
        if config.fingerprint == fingerprint:
            return Facts(fingerprint, config.M, config.K, facts.created)
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
    """Bytes the folder's files take; those that a writer removes meanwhile (SQLite's side files) do not count."""
    total = 0
    for file in path.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += file.stat().st_size if file.is_file() else 0
    return total


def create(path: Path, model: Model) -> Facts:
    """Makes a library for the codes of `model`, or finishes one whose making was interrupted. Copies the model in.

    Raises LibraryError when the folder holds other things, or an unfinished library with pictures of another model.
    """
    with explained(path):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise LibraryError(f"{path} is a file, not a folder: give the library another place") from None
        except PermissionError as error:
            raise LibraryError(
                f"{path} cannot be made ({error.strerror}): give the library another place"
            ) from None
        with writer_lock(path):
            if exists(path):  # another process was faster
                return read_facts(path)
            opened = Catalogue.create(path / tables.NAME, model.fingerprint)
            try:
                if opened.fingerprint != model.fingerprint:
                    if any(row.good for row in opened.counts().values()):
                        raise LibraryError(
                            f"{path} has lost its {JSON} and holds codes of another model (fingerprint "
                            f"{opened.fingerprint[:12]}): give that model, or another place for a new library"
                        )
                    opened.close()
                    for name in (tables.NAME, f"{tables.NAME}-wal", f"{tables.NAME}-shm"):
                        (path / name).unlink(missing_ok=True)
                    opened = Catalogue.create(path / tables.NAME, model.fingerprint)
            finally:
                opened.close()
            copy_model(model, path / "model")
            created = datetime.now(UTC).isoformat(timespec="seconds")
            write_atomic(path / JSON, _told(model.fingerprint, model.M, model.K, model.bits, created))
    return read_facts(path)


def catch_up(path: Path, fingerprint: str) -> bool:
    """Finishes the swap of a migration that was committed: the model and library.json become those that the catalogue,
    whose fingerprint this is, has codes of. Whether there was something to do; the caller holds the writer lock.
    """
    from sightbook.model.config import ModelConfig

    waiting = path / NEW_MODEL
    if not (waiting / "config.json").exists() or ModelConfig.read(waiting).fingerprint != fingerprint:
        return False
    config = ModelConfig.read(waiting)
    told = _told(config.fingerprint, config.M, config.K, config.bits, read_facts(path).created)
    # Each step leaves a state that this function goes on from.
    old = path / ".model.old"
    shutil.rmtree(old, ignore_errors=True)
    if (path / "model").exists():
        (path / "model").rename(old)
    write_atomic(path / JSON, told)
    waiting.rename(path / "model")
    shutil.rmtree(old, ignore_errors=True)
    return True


def _told(fingerprint: str, M: int, K: int, bits: int, created: str) -> str:
    content = {"format": FORMAT, "fingerprint": fingerprint, "M": M, "K": K, "bits": bits, "created": created}
    return json.dumps(content, indent=2) + "\n"


def copy_model(model: Model, target: Path) -> None:
    """Copies the model beside its place and renames it there: `target` is a whole model or absent."""
    for left in target.parent.glob(".model.*"):
        shutil.rmtree(left, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=".model.", dir=target.parent))
    try:
        model.copy_to(temporary)
        for file in temporary.iterdir():
            with file.open("rb+") as handle:
                os.fsync(handle.fileno())
        temporary.chmod(target.parent.stat().st_mode & 0o777)
        if target.exists():
            shutil.rmtree(target)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _is_ours(name: str) -> bool:
    return name in _OURS or name.startswith(_OURS_BEGIN)


def _no_library(path: Path) -> str:
    if not path.exists():
        return f"there is no library at {path}: `sightbook add {typed(path)} SOURCE --model MODEL` makes one"
    if path.is_dir() and any(path.iterdir()) and all(_is_ours(item.name) for item in path.iterdir()):
        return (
            f"the making of the library {path} was interrupted: run "
            f"`sightbook add {typed(path)} SOURCE --model MODEL` again to finish it"
        )
    if path.is_dir() and not any(path.iterdir()):
        return f"{path} is empty, not a library: `sightbook add {typed(path)} SOURCE --model MODEL` makes one in it"
    return f"{path} is not a sightbook library (no {JSON}): give the folder that `sightbook add` made, or a new one"

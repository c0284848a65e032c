"""Making a LIBRARY folder so that no interruption can leave a trap.

library.json is written last. Each step before it can be repeated.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sightbook.catalogue import catalogue as tables
from sightbook.catalogue import fine as keeping
from sightbook.catalogue import folder, meta
from sightbook.catalogue.catalogue import Catalogue
from sightbook.catalogue.database import explained
from sightbook.catalogue.lock import writer_lock
from sightbook.errors import LibraryError, ModelError
from sightbook.files import write_atomic

if TYPE_CHECKING:
    from sightbook.model.model import Model


def create(path: Path, model: Model, fine: bool | None = None) -> None:
    """Makes a library for the codes of `model`, or finishes one whose making was interrupted. Copies the model in.

    fine: whether it keeps fine codes; None: where the model has them. Raises LibraryError when the folder holds other
    things, or an unfinished library with pictures of another model, or with other fine codes than asked for;
    ModelError when the model has none that are asked for.
    """
    wanted = keeping.at_making(model, fine)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise LibraryError(f"{path} is a file, not a folder: give the library another place") from None
    except PermissionError as error:
        raise LibraryError(
            f"{path} cannot be made ({error.strerror}): give the library another place"
        ) from None
    with writer_lock(path):
        if folder.exists(path):  # another process was faster
            return
        opened = Catalogue.create(path / tables.NAME, model.fingerprint, wanted, asked=fine is True)
        try:
            held = opened.ever_held
            if held and opened.fingerprint != model.fingerprint:
                raise LibraryError(
                    f"{path} has lost its {folder.JSON} and holds codes of another model (fingerprint "
                    f"{opened.fingerprint[:12]}): give that model, or another place for a new library"
                )
            if held and fine is not None and bool(opened.fine) != fine:
                raise LibraryError(
                    f"{path} has lost its {folder.JSON} and holds pictures "
                    f"{'with' if opened.fine else 'without'} fine codes: leave "
                    f"{'--fine' if fine else '--no-fine'} out, or give another place for a new library"
                )
            if not held and (opened.fingerprint, opened.fine) != (model.fingerprint, wanted):
                opened.close()
                for name in (tables.NAME, f"{tables.NAME}-wal", f"{tables.NAME}-shm"):
                    (path / name).unlink(missing_ok=True)
                opened = Catalogue.create(path / tables.NAME, model.fingerprint, wanted, asked=fine is True)
            wanted = opened.fine
            name_model(opened, path, model)
        finally:
            opened.close()
        copy_model(model, path / "model")
        created = datetime.now(UTC).isoformat(timespec="seconds")
        facts = folder.Facts(model.fingerprint, model.M, model.K, created, wanted)
        write_atomic(path / folder.JSON, folder.tell(facts))


def model_left(path: Path) -> Path | None:
    """The model of a library that lost its library.json after it held pictures, which `create` finishes with it; None
    where there is a library, or none yet. LibraryError when the model is lost, too."""
    if folder.exists(path) or not (path / tables.NAME).is_file():
        return None
    from sightbook.model.config import ModelConfig

    held, fingerprint = False, ""
    # The making may have ended before the first table.
    with (
        contextlib.suppress(LibraryError),
        explained(path),
        closing(Catalogue.read(path / tables.NAME)) as left,
    ):
        held, fingerprint = left.ever_held, left.fingerprint
    if not held:
        return None
    found = folder.model_of(path, fingerprint)
    with contextlib.suppress(ModelError):
        if ModelConfig.read(found).fingerprint == fingerprint:
            return found
    raise LibraryError(
        f"{path} has lost its {folder.JSON} and its model (fingerprint {fingerprint[:12]}): give that model, "
        "or another place for a new library"
    )


def name_model(catalogue: Catalogue, path: Path, model: Model) -> None:
    """Notes the name of a model that was given; one that was learned inside the library has none."""
    given = model.place.resolve()
    if not given.is_relative_to(path.resolve()):
        meta.name_model(catalogue, model.fingerprint, os.fsencode(given.name).decode("utf-8", "replace"))


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

"""The kinds of sources, by the names that catalogues keep. A kind's file is imported when it is first asked for."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from sightbook.errors import SourceError
from sightbook.images.source import SourceKind

# In the order in which a path is held against them. Each module calls its kind KIND.
_MODULES = {
    "folder": "sightbook.images.kinds.folder",
    "tar": "sightbook.images.kinds.tar",
    "parquet": "sightbook.images.kinds.parquet",
    "vectors": "sightbook.images.kinds.vectors",
    "cifar": "sightbook.images.kinds.cifar",
}
# Those of one's own, which `register` adds.
OWN: dict[str, SourceKind] = {}


def register(kind: SourceKind) -> None:
    """Makes a kind of one's own known to this process; SourceError for a name that another one has."""
    if kind.name in _MODULES or OWN.get(kind.name, kind) != kind:
        raise SourceError(f"There is a kind of source called {kind.name!r}: give yours another name.")
    OWN[kind.name] = kind


def kind_of(name: str) -> SourceKind:
    """The kind of this name; SourceError when there is none here."""
    if name in OWN:
        return OWN[name]
    if name not in _MODULES:
        raise SourceError(
            f"A source is of the kind {name!r}, which is not known here: use the program that added it, or a newer one."
        )
    kind: SourceKind = import_module(_MODULES[name]).KIND
    return kind


def kinds() -> Iterator[SourceKind]:
    """All of them, in the order in which a path is held against them."""
    yield from map(kind_of, (*_MODULES, *OWN))


def suffixes(*, vectors: bool) -> list[str]:
    """Those of archives of pictures, or of files of vectors."""
    return [suffix for kind in kinds() if kind.of_vectors == vectors for suffix in kind.suffixes]


def recognize(path: Path) -> SourceKind | None:
    """The kind of what lies at a path, by its name."""
    return next((kind for kind in kinds() if kind.recognize(path)), None)


def holds_files(name: str) -> bool:
    """Whether pictures of this kind of source are files of their own; not, as far as is known, where it is not known
    here."""
    return name in (*_MODULES, *OWN) and kind_of(name).files


def holds_vectors(name: str) -> bool:
    """Whether this kind of source holds vectors; not, as far as is known, where it is not known here."""
    return name in (*_MODULES, *OWN) and kind_of(name).of_vectors

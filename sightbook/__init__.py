"""sightbook finds similar pictures in your own collection and learns how from the collection itself, without a label.

Public names are imported when first used, so that `import sightbook` stays light and searching never loads torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sightbook.errors import SightbookError as SightbookError
    from sightbook.learn.train import train as train
    from sightbook.library.library import Library as Library
    from sightbook.model.model import Model as Model

__version__ = "0.1.0"

_WHERE = {
    "train": "sightbook.learn.train",
    "Model": "sightbook.model.model",
    "Library": "sightbook.library.library",
    "SightbookError": "sightbook.errors",
}

__all__ = ["Library", "Model", "SightbookError", "__version__", "train"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'sightbook' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

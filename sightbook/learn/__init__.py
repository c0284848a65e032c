"""Learning: settings, views, losses, methods, the trainer.

What a method of one's own is made of is imported from here; losses to compose it of are in `sightbook.learn.losses`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sightbook.learn.methods.method import Method
from sightbook.learn.methods.registry import register

if TYPE_CHECKING:
    from sightbook.learn.methods.batch import Given as Given
    from sightbook.learn.methods.batch import ViewBatch as ViewBatch
    from sightbook.learn.train import resolve as resolve

_WHERE = {
    "Given": "sightbook.learn.methods.batch",
    "ViewBatch": "sightbook.learn.methods.batch",
    "resolve": "sightbook.learn.train",
}

__all__ = ["Given", "Method", "ViewBatch", "register", "resolve"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'sightbook.learn' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)

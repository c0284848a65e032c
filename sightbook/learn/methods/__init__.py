"""Learning methods by name. A method is one function from a batch of two views to a loss.

A new one: a file here, its line below, its settings in `sightbook.presets`, its section in docs/methods.md.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from sightbook.config import TrainConfig
from sightbook.learn.methods import dccq, mecoq, rcq, spq, sscq, transclippedclr
from sightbook.learn.methods.batch import ViewBatch

Method = Callable[[ViewBatch, TrainConfig], Tensor]

METHODS: dict[str, Method] = {
    "rcq": rcq.loss,
    "transclippedclr": transclippedclr.loss,
    "spq": spq.loss,
    "mecoq": mecoq.loss,
    "sscq": sscq.loss,
    "dccq": dccq.loss,
}

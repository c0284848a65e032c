"""Learning methods by name. A method is one function from a batch of two views to a loss."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from sightbook.config import TrainConfig
from sightbook.learn.methods import transclippedclr
from sightbook.learn.methods.batch import ViewBatch

Method = Callable[[ViewBatch, TrainConfig], Tensor]

METHODS: dict[str, Method] = {"transclippedclr": transclippedclr.loss}

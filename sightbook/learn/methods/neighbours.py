"""Neighbours, our own: codes learned in closed form from the features of a frozen backbone (docs/neighbours.md)."""

from __future__ import annotations

from sightbook.learn.methods.method import Method

neighbours = Method(None, {"K": 256})

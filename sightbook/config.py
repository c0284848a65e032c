"""The training configuration under its earlier name: methods of one's own were first written with it."""

from sightbook.learn.settings.config import TrainConfig

__all__ = ["TrainConfig"]

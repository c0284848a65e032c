"""A pen that draws flat shapes in the square [-1, 1]² through a random placement, several times larger than wanted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Points = Sequence[tuple[float, float]] | np.ndarray

OVERSAMPLING = (
    3  # drawn at 3x the side and averaged down: Pillow's polygons have no antialiasing of their own
)

_ANGLES = np.linspace(0, 2 * np.pi, 20, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


class Pen:
    """Draws on `canvas` (RGB). A point p of the shape's own square lands at `turn @ p + shift`, in canvas pixels."""

    def __init__(
        self, canvas: Image.Image, turn: np.ndarray, shift: np.ndarray, colours: Sequence[Colour]
    ) -> None:
        self.draw = ImageDraw.Draw(canvas)
        self.turn, self.shift, self.colours = turn, shift, colours
        self.scale = float(np.sqrt(abs(np.linalg.det(turn))))

    def mirror(self) -> None:
        """From here on, left and right change places."""
        self.turn = self.turn * [-1, 1]

    def polygon(self, points: Points, colour: int = 0) -> None:
        """Fills the polygon with the colour of that number."""
        self.draw.polygon(self._placed(points), fill=self.colours[colour % len(self.colours)])

    def disc(self, x: float, y: float, radius: float, colour: int = 0, *, flat: float = 1.0) -> None:
        """Fills an ellipse of half-axes `radius` and `radius * flat`."""
        self.polygon(_CIRCLE * [radius, radius * flat] + [x, y], colour)

    def box(self, left: float, top: float, right: float, bottom: float, colour: int = 0) -> None:
        """Fills a rectangle (which the placement may turn)."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def line(self, points: Points, width: float, colour: int = 0) -> None:
        """Draws a line through the points, `width` in units of the shape's square."""
        pixels = max(1, round(width * self.scale))
        fill = self.colours[colour % len(self.colours)]
        self.draw.line(self._placed(points), fill=fill, width=pixels, joint="curve")

    def _placed(self, points: Points) -> list[tuple[float, float]]:
        placed = np.asarray(points, dtype=np.float64) @ self.turn.T + self.shift
        return [(x, y) for x, y in placed.tolist()]

"""The twelve kinds of the demo's pictures. Each function draws one; `rng` decides all that varies within a kind.

Shapes live in [-1, 1]², y downwards. Patterns reach past that square, since the placement may turn and shift it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sightbook.demo.pen import Pen

Kind = Callable[[Pen, np.random.Generator], None]

_REACH = 2.6  # how far patterns go: a square turned by 45 degrees and shifted still covers the picture


def stripes(pen: Pen, rng: np.random.Generator) -> None:
    step = rng.uniform(0.34, 0.7)
    thick = step * rng.uniform(0.35, 0.6)
    for number, x in enumerate(np.arange(-_REACH, _REACH, step)):
        pen.box(x, -_REACH, x + thick, _REACH, number % int(rng.integers(1, 3)))


def checks(pen: Pen, rng: np.random.Generator) -> None:
    step = rng.uniform(0.36, 0.62)
    count = int(_REACH / step)
    for row in range(-count, count):
        for column in range(-count, count):
            if (row + column) % 2:
                pen.box(column * step, row * step, (column + 1) * step, (row + 1) * step)


def dots(pen: Pen, rng: np.random.Generator) -> None:
    step = rng.uniform(0.42, 0.75)
    radius = step * rng.uniform(0.22, 0.38)
    shifted = step / 2 if rng.random() < 0.5 else 0.0
    colours = int(rng.integers(1, 4))
    for number, y in enumerate(np.arange(-_REACH, _REACH, step)):
        for x in np.arange(-_REACH, _REACH, step):
            pen.disc(x + shifted * (number % 2), y, radius, int(rng.integers(colours)))


def rings(pen: Pen, rng: np.random.Generator) -> None:
    count = int(rng.integers(3, 6))
    for number in range(2 * count, 0, -1):
        if number % 2 == 0:
            angle = np.linspace(0, 2 * np.pi, 48)
            radius = 1.2 * number / (2 * count)
            pen.line(
                np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), 0.6 / count, number // 2
            )


def spiral(pen: Pen, rng: np.random.Generator) -> None:
    turns = rng.uniform(2.2, 3.6)
    angle = np.linspace(0.3, turns * 2 * np.pi, 90)
    radius = 1.1 * angle / angle[-1]
    hand = 1 if rng.random() < 0.5 else -1
    pen.line(
        np.stack([radius * np.cos(angle), hand * radius * np.sin(angle)], axis=1), rng.uniform(0.12, 0.2)
    )


def waves(pen: Pen, rng: np.random.Generator) -> None:
    step = rng.uniform(0.4, 0.75)
    length, height = rng.uniform(0.7, 1.3), rng.uniform(0.14, 0.26)
    x = np.linspace(-_REACH, _REACH, 64)
    crest = np.stack([x, height * np.sin(2 * np.pi * x / length)], axis=1)
    band = np.concatenate([crest, np.add(crest[::-1], (0, 0.45 * step))])
    for number, y in enumerate(np.arange(-_REACH, _REACH, step)):
        pen.polygon(np.add(band, (0, y)), number % 2)


def star(pen: Pen, rng: np.random.Generator) -> None:
    points = int(rng.integers(5, 9))
    angle = np.arange(2 * points) * np.pi / points
    radius = np.where(np.arange(2 * points) % 2, rng.uniform(0.35, 0.5), 1.0)
    pen.polygon(np.stack([radius * np.sin(angle), -radius * np.cos(angle)], axis=1))
    if rng.random() < 0.4:
        pen.disc(0, 0, 0.22, 1)


def face(pen: Pen, rng: np.random.Generator) -> None:
    pen.disc(0, 0, 1.0, 0, flat=rng.uniform(0.85, 1.15))
    eye, apart = rng.uniform(0.13, 0.2), rng.uniform(0.3, 0.42)
    for side in (-apart, apart):
        pen.disc(side, -0.28, eye, 3)
    mood = rng.uniform(-0.3, 0.35)
    x = np.linspace(-0.5, 0.5, 12)
    pen.line(np.stack([x, 0.45 + mood * (0.5 - 4 * x**2 / 2)], axis=1), 0.14, 3)
    if rng.random() < 0.5:
        pen.polygon([(-0.1, 0.15), (0.1, 0.15), (0, -0.08)], 1)


def house(pen: Pen, rng: np.random.Generator) -> None:
    if rng.random() < 0.5:
        pen.mirror()
    half, eaves = rng.uniform(0.55, 0.8), rng.uniform(-0.25, 0.05)
    pen.box(-half, eaves, half, 0.95, 0)
    pen.polygon([(-half - 0.18, eaves), (half + 0.18, eaves), (rng.uniform(-0.25, 0.25), -0.95)], 1)
    door = rng.uniform(-0.45, 0.1)
    pen.box(door, 0.4, door + 0.28, 0.95, 3)
    if rng.random() < 0.75:
        pen.box(door + 0.4, eaves + 0.2, door + 0.65, eaves + 0.48, 3)


def tree(pen: Pen, rng: np.random.Generator) -> None:
    pen.box(-0.12, 0.2, 0.12, 1.0, 3)
    if rng.random() < 0.5:
        for tier in range(3):
            wide, top = 0.38 + 0.17 * tier, -1.0 + 0.42 * tier
            pen.polygon([(-wide, top + 0.65), (wide, top + 0.65), (0, top)], 0)
    else:
        for _ in range(6):
            pen.disc(rng.uniform(-0.4, 0.4), rng.uniform(-0.65, -0.05), rng.uniform(0.3, 0.42), 0)


def fish(pen: Pen, rng: np.random.Generator) -> None:
    if rng.random() < 0.5:
        pen.mirror()
    flat = rng.uniform(0.45, 0.65)
    tail = rng.uniform(0.35, 0.5)
    pen.polygon([(-0.45, 0.0), (-1.0, -tail), (-0.85, 0.0), (-1.0, tail)], 1)
    pen.polygon([(-0.2, -flat * 0.55), (0.3, -flat * 0.55), (-0.15, -flat * 0.7 - 0.3)], 1)
    pen.disc(0.2, 0, 0.75, 0, flat=flat)
    pen.disc(0.6, -0.12, 0.12, 3)
    if rng.random() < 0.5:
        pen.line([(0.3, -0.3), (0.22, 0), (0.3, 0.3)], 0.09, 3)


# Letters are strokes in a box one unit wide and two high; more than one per picture makes writing of it.
_LETTERS: dict[str, list[list[tuple[float, float]]]] = {
    "A": [[(0, 2), (0.5, 0), (1, 2)], [(0.2, 1.3), (0.8, 1.3)]],
    "E": [[(1, 0), (0, 0), (0, 2), (1, 2)], [(0, 1), (0.8, 1)]],
    "F": [[(1, 0), (0, 0), (0, 2)], [(0, 1), (0.8, 1)]],
    "H": [[(0, 0), (0, 2)], [(1, 0), (1, 2)], [(0, 1), (1, 1)]],
    "K": [[(0, 0), (0, 2)], [(1, 0), (0, 1), (1, 2)]],
    "L": [[(0, 0), (0, 2), (1, 2)]],
    "M": [[(0, 2), (0, 0), (0.5, 1), (1, 0), (1, 2)]],
    "N": [[(0, 2), (0, 0), (1, 2), (1, 0)]],
    "T": [[(0, 0), (1, 0)], [(0.5, 0), (0.5, 2)]],
    "V": [[(0, 0), (0.5, 2), (1, 0)]],
    "X": [[(0, 0), (1, 2)], [(1, 0), (0, 2)]],
    "Z": [[(0, 0), (1, 0), (0, 2), (1, 2)]],
}


def letters(pen: Pen, rng: np.random.Generator) -> None:
    names = sorted(_LETTERS)
    count = int(rng.integers(2, 4))
    wide = 2.0 / (count + 0.35 * (count - 1))
    colours = int(rng.integers(1, 3))
    for number in range(count):
        left = -1 + number * wide * 1.35
        for stroke in _LETTERS[names[int(rng.integers(len(names)))]]:
            at = np.asarray(stroke) * [wide, 0.75] + [left, -0.75]
            pen.line(at, rng.uniform(0.17, 0.24), number % colours)


# Kind -> (how to draw it, how far it may be turned in degrees, True when it fills the picture as a pattern).
KINDS: dict[str, tuple[Kind, float, bool]] = {
    "stripes": (stripes, 180, True),
    "checks": (checks, 180, True),
    "dots": (dots, 180, True),
    "waves": (waves, 180, True),
    "rings": (rings, 180, False),
    "spiral": (spiral, 180, False),
    "star": (star, 180, False),
    "face": (face, 25, False),
    "house": (house, 20, False),
    "tree": (tree, 20, False),
    "fish": (fish, 25, False),
    "letters": (letters, 25, False),
}

"""The rooms of sightbook in one picture, drawn from its own imports.

    python tools/rooms.py docs/images/rooms.svg [--check]

A row is a layer of the import contract in pyproject.toml; an arrow says who uses whom, without those that follow from
others. `--check` writes nothing, and fails when the picture is not that of today's imports.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parent.parent
GROUND = "ground"  # modules that stand in no room, drawn as one
ABOUT = {
    "cli": "one file a verb",
    "demo": "the guided tour",
    "benchmark": "declared experiments",
    "library": "the face, care, export",
    "evaluate": "protocols, metrics, baselines",
    "learn": "settings, methods, trainer",
    "search": "query → engine → hits",
    "ingest": "scan, encode, commit",
    "catalogue": "rows, versions, lock: all SQL",
    "model": "MODEL folder, encoder, networks",
    "describe": "neighbourhoods, closed form",
    "present": "contact sheets",
    "images": "sources, pixels, loading",
    "codes": "packing, tables, exact engine",
    GROUND: "errors, files, progress, arguments",
}
WIDE, HIGH, APART, BETWEEN, EDGE = 210, 46, 34, 48, 20  # pixels


def main() -> None:
    """Writes or checks the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    rows = layers()
    drawn = draw(rows, arrows([room for row in rows for room in row]))
    if not given.check:
        given.picture.write_text(drawn)
    elif not given.picture.is_file() or given.picture.read_text() != drawn:
        sys.exit(f"{given.picture} is not of today's imports: run python tools/rooms.py {given.picture}")


def layers() -> list[list[str]]:
    """The rooms, row by row from the top; single modules are one room at the bottom."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contract = next(
        each for each in settings["tool"]["importlinter"]["contracts"] if each["type"] == "layers"
    )
    rows = [
        [name.strip().removeprefix("sightbook.") for name in layer.split("|")] for layer in contract["layers"]
    ]
    rooms = [[name for name in row if (ROOT / "sightbook" / name).is_dir()] for row in rows]
    return [*(row for row in rooms if row), [GROUND]]


def arrows(rooms: Sequence[str]) -> list[tuple[str, str]]:
    """Who uses whom, less what follows from other arrows."""
    graph = grimp.build_graph("sightbook", exclude_type_checking_imports=True, cache_dir=None)

    def room_of(module: str) -> str:
        first = module.removeprefix("sightbook").strip(".").partition(".")[0]
        return first if first in rooms else GROUND

    uses: dict[str, set[str]] = {room: set() for room in rooms}
    for module in graph.modules:
        for other in graph.find_modules_directly_imported_by(module):
            if module.count(".") and room_of(module) != room_of(other) and room_of(module) != GROUND:
                uses[room_of(module)].add(room_of(other))
    reach: dict[str, set[str]] = {}
    for room in reversed(rooms):  # those below first
        reach[room] = uses[room].union(*(reach.get(other, set()) for other in uses[room]))
    return [
        (room, other)
        for room in rooms
        for other in rooms
        if other in uses[room] and not any(other in reach.get(between, set()) for between in uses[room])
    ]


def draw(rows: Sequence[Sequence[str]], uses: Sequence[tuple[str, str]]) -> str:
    """The picture as SVG."""
    wide = max(len(row) for row in rows) * (WIDE + APART) - APART + 2 * EDGE
    high = len(rows) * (HIGH + BETWEEN) - BETWEEN + 2 * EDGE
    places: dict[str, tuple[float, float]] = {}
    for level, row in enumerate(rows):
        left = (wide - len(row) * (WIDE + APART) + APART) / 2
        for place, room in enumerate(row):
            places[room] = (left + place * (WIDE + APART), EDGE + level * (HIGH + BETWEEN))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" font-family="sans-serif">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#78909c"/></marker></defs>',
        f'<rect width="{wide}" height="{high}" fill="#ffffff"/>',
        *(_arrow(places, *each) for each in uses),
        *(_box(places, room) for row in rows for room in row),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _arrow(places: Mapping[str, tuple[float, float]], room: str, other: str) -> str:
    x, y = places[room][0] + WIDE / 2, places[room][1] + HIGH
    u, v = places[other][0] + WIDE / 2, places[other][1] - 2
    bend = (v - y) / 2
    return (
        f'<path d="M{x:g} {y:g} C{x:g} {y + bend:g} {u:g} {v - bend:g} {u:g} {v:g}" fill="none" stroke="#78909c" '
        'stroke-width="1.5" marker-end="url(#tip)"/>'
    )


def _box(places: Mapping[str, tuple[float, float]], room: str) -> str:
    x, y = places[room]
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{WIDE}" height="{HIGH}" rx="6" fill="#e0f2f1" stroke="#00796b"/>'
        f'<text x="{x + WIDE / 2:g}" y="{y + 20:g}" font-size="15" font-weight="bold" text-anchor="middle">{room}'
        "</text>"
        f'<text x="{x + WIDE / 2:g}" y="{y + 37:g}" font-size="11" text-anchor="middle">{escape(ABOUT.get(room, ""))}'
        "</text>"
    )


if __name__ == "__main__":
    main()

"""Models that come with the program and are opened by name: trained by this project, with card, recipe and figures."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent.parent / "released"


def names() -> list[str]:
    """The names of the released models."""
    return sorted(path.parent.name for path in _FOLDER.glob("*/config.json"))


def find(name: Path) -> Path:
    """The folder of the released model of that name; `name` itself where it is a folder or no such name.

    A folder of the user's goes before a released model of the same name.
    """
    if not name.exists() and len(name.parts) == 1 and (_FOLDER / name / "config.json").is_file():
        return _FOLDER / name
    return name

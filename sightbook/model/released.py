"""Models that come with the program and are opened by name: trained by this project, with card, recipe and figures."""

from __future__ import annotations

import contextlib
import difflib
import json
from pathlib import Path

_FOLDER = Path(__file__).parent.parent / "released"


def names() -> list[str]:
    """The names of the released models."""
    return sorted(path.parent.name for path in _FOLDER.glob("*/config.json"))


def name_of(fingerprint: str) -> str | None:
    """The name of the released model with this fingerprint."""
    for name in names():
        content = json.loads((_FOLDER / name / "config.json").read_text(encoding="utf-8"))
        if content["fingerprint"] == fingerprint:
            return name
    return None


def near(name: Path) -> str:
    """A sentence that names the model whose name is most like one that was mistyped, or nothing: a released one, or a
    folder beside the one that is not there."""
    beside = []
    with contextlib.suppress(OSError):
        beside = [str(name.parent / each.parent.name) for each in name.parent.glob("*/config.json")]
    found = difflib.get_close_matches(str(name), [*(names() if len(name.parts) == 1 else []), *beside], 1)
    return f"; did you mean {found[0]}?" if found and found[0] != str(name) else ""


def find(name: Path) -> Path:
    """The folder of the released model of that name; `name` itself where it is a folder or no such name.

    A folder of the user's goes before a released model of the same name.
    """
    if not name.exists() and len(name.parts) == 1 and (_FOLDER / name / "config.json").is_file():
        return _FOLDER / name
    return name

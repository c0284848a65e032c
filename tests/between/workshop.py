"""A copy of the program in which the recipes of CONTRIBUTING.md are followed, word by word, and then run."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import sightbook

PACKAGE = Path(sightbook.__file__).parent


@dataclass(frozen=True)
class Workshop:
    """The program's files below `root`/sightbook: links to the real ones, but for those that were written here."""

    root: Path

    def write(self, path: str, text: str) -> None:
        """A new file of the package."""
        place = self.root / "sightbook" / path
        assert not place.exists()
        place.write_text(text)

    def put(self, path: str, before: str, line: str) -> None:
        """Puts one line into a file of the package, in front of text that stands there once."""
        place = self.root / "sightbook" / path
        text = place.read_text()
        assert text.count(before) == 1
        place.unlink()
        place.write_text(text.replace(before, line + before))

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """The program with these arguments, in `root`."""
        return subprocess.run(
            [sys.executable, "-m", "sightbook", *map(str, arguments)],
            cwd=self.root,
            env={**os.environ, "COLUMNS": "160", "PYTHONPATH": str(self.root)},
            capture_output=True,
            text=True,
            check=False,
        )

    def complete(self, option: str) -> list[str]:
        """What a shell is offered for an option."""
        code = f"from sightbook.cli import completion; print(*completion.{option}(''), sep='\\n')"
        environment = {**os.environ, "PYTHONPATH": str(self.root)}
        command = [sys.executable, "-c", code]
        return subprocess.run(
            command, cwd=self.root, env=environment, capture_output=True, text=True, check=True
        ).stdout.split()


def open_workshop(root: Path) -> Workshop:
    """A workshop in an empty folder."""
    for path in sorted(PACKAGE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            copy = root / "sightbook" / path.relative_to(PACKAGE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.symlink_to(path)
    return Workshop(root)

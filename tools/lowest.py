"""The oldest versions that pyproject.toml allows of what adding and searching need, as constraints for pip: what
`make lowest` installs.

    python tools/lowest.py > lowest.txt

Training is not among them: its packages ask for newer ones of the others.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_BOUND = re.compile(r"([\w.-]+)>=([\w.]+)")
_EXTRA = "heif"


def bounds() -> Iterator[tuple[str, str]]:
    """(package, oldest version) of all that adding and searching need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"][_EXTRA]]
    for requirement in wanted:
        found = _BOUND.fullmatch(requirement)
        if found is None:
            raise SystemExit(f"{requirement} in pyproject.toml names no oldest version: write NAME>=VERSION")
        yield found[1], found[2]


def main() -> None:
    for name, version in bounds():
        print(f"{name}=={version}")


if __name__ == "__main__":
    main()

"""Short campaigns of damage; benchmarks/metadata_damage.py and benchmarks/whole_pictures.py make thousands of files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize(("script", "files"), [("metadata_damage", 280), ("whole_pictures", 66)])
def test_no_picture_is_judged_wrongly(script: str, files: int) -> None:
    command = [sys.executable, str(BENCHMARKS / f"{script}.py"), "--files", str(files), "--seed", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"0 of {files} " in done.stdout

"""Fine codes on the command line: kept, told, left out."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run
from tests.library.pictures import fill
from tests.tiny import tiny_described


def test_the_program_keeps_them_tells_them_and_does_without(tmp_path: Path, run: Run) -> None:
    tiny_described(tmp_path / "m")
    fill(tmp_path / "p", 9)
    assert run("add", "l", "p", "--model", "m").returncode == 0
    status = run("status", "l")
    assert "24 bytes a picture" in status.stdout
    assert json.loads(run("status", "l", "--json").stdout)["fine_bytes"] == 24
    both = json.loads(run("search", "l", "p/003.png", "--json").stdout)["queries"][0]["hits"]
    alone = json.loads(run("search", "l", "p/003.png", "--no-fine", "--json").stdout)["queries"][0]["hits"]
    assert [hit["raw"] for hit in both] != [hit["raw"] for hit in alone] and len(both) == len(alone) == 9
    for hits in (both, alone):
        assert (f"{hits[0]['score']:.3f}", hits[0]["path"]) == ("1.000", "003.png")
    assert run("search", "l", "p/003.png", "-k", "1").stdout.splitlines()[1].split()[:2] == ["1", "1.000"]
    for dry in ((), ("--dry-run",)):
        refused = run("add", "l", "p", "--no-fine", *dry)
        assert refused.returncode == 1 and "was made with fine codes, which stays so" in refused.stderr
    assert run("add", "l", "p", "--fine").returncode == 0
    assert run("add", "short", "p", "--model", "m", "--no-fine").returncode == 0
    assert "fine" not in run("status", "short").stdout

"""The demo overwrites nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from sightbook.demo.folder import fresh
from sightbook.errors import ConfigError


def test_the_first_free_folder_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert fresh(None) == Path("sightbook-demo")
    Path("sightbook-demo").mkdir()
    assert fresh(None) == Path("sightbook-demo")  # empty: nothing to lose
    Path("sightbook-demo/x").write_text("")
    Path("sightbook-demo-2").write_text("a file of that name")
    assert fresh(None) == Path("sightbook-demo-3")


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    assert fresh(tmp_path / "new") == tmp_path / "new"
    assert fresh(tmp_path) == tmp_path
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(ConfigError, match="is not an empty folder: give --out a new one"):
        fresh(tmp_path)
    with pytest.raises(ConfigError):
        fresh(tmp_path / "mine.txt")

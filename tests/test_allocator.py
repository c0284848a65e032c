"""The allocator is told to keep memory, unless the user has a will of their own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

TRY = "from sightbook.allocator import SEARCHING, keep_freed_memory, own_process; "
OURS = "own_process(); "
SAY = "print(keep_freed_memory(SEARCHING))"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc alone has these settings")
@pytest.mark.parametrize(("chosen", "told"), [({}, "True"), ({"MALLOC_TOP_PAD_": "4096"}, "False")])
def test_settings_of_the_environment_win(chosen: dict[str, str], told: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    said = subprocess.run(
        [sys.executable, "-c", TRY + OURS + SAY],
        env=environment | chosen,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == told


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc alone has these settings")
def test_a_process_that_only_uses_sightbook_keeps_its_own_settings() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    said = subprocess.run(
        [sys.executable, "-c", TRY + SAY], env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "False"


def test_no_setting_is_made_by_a_search_of_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    from sightbook import allocator
    from sightbook.codes.engine import Engine

    asked: list[str] = []
    monkeypatch.setattr(allocator, "owned", False)  # as in a program of somebody else
    monkeypatch.setattr(allocator, "find_glibc", lambda: asked.append("glibc"))
    random = np.random.default_rng(0)
    engine = Engine(random.integers(0, 256, (500, 4), np.uint8), 4, 256)
    engine.search(random.random((64, 4, 256), np.float32), 3, threads=2)
    allocator.give_back_freed_memory()
    assert asked == []

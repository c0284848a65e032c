"""The allocator is told to keep memory, unless the user has a will of their own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

TRY = "from sightbook.allocator import SEARCHING, keep_freed_memory; print(keep_freed_memory(SEARCHING))"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc alone has these settings")
@pytest.mark.parametrize(("chosen", "told"), [({}, "True"), ({"MALLOC_TOP_PAD_": "4096"}, "False")])
def test_settings_of_the_environment_win(chosen: dict[str, str], told: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    said = subprocess.run(
        [sys.executable, "-c", TRY], env=environment | chosen, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == told

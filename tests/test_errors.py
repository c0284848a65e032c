"""What messages are made of."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from sightbook.errors import typed


@pytest.mark.parametrize("path", ["photos", "/a/b-c_1.tar", "Bücher & Fotos/it's", "$HOME", "a b"])
def test_a_path_in_a_command_to_be_typed_reaches_the_shell_whole(path: str) -> None:
    assert shlex.split(f"sightbook add {typed(Path(path))} SOURCE")[2] == path
    assert typed("my-library") == "my-library"

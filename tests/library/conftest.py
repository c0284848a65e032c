from __future__ import annotations

from pathlib import Path

import pytest

from sightbook.model.model import Model
from tests.tiny import tiny_model


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A tiny model of 16-bit codes, so that equal scores abound."""
    return Model.open(tiny_model(tmp_path_factory.mktemp("model")), threads=1)


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.open(tiny_model(tmp_path_factory.mktemp("other"), seed=1), threads=1)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the test's library will be."""
    return tmp_path / "library"

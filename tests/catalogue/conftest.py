from __future__ import annotations

from tests.library.conftest import model, other_model, place

__all__ = ["model", "other_model", "place"]

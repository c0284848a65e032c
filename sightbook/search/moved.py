"""A writer is always somewhere between two steps of a reader."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from sightbook.errors import LibraryError, ModelError

_T = TypeVar("_T")
ROUNDS = 5  # tries to find a state that no writer comes into, or whose model is there


class MovedOn(Exception):
    """What was read is of no state any more, or of another model's: it is read again."""


def again(read: Callable[[], _T]) -> _T:
    """A migration that is just ending puts one model in another one's place: what was not there is there then."""
    for _ in range(ROUNDS - 1):
        with suppress(LibraryError, ModelError):
            return read()
    return read()

"""Errors a user can act on. Each message is one sentence: what is wrong, where, and what to do."""

from __future__ import annotations

import shlex
from pathlib import Path


def typed(path: str | Path) -> str:
    """The path as it stands in a command that a message tells to type: quoted where a shell needs it."""
    return shlex.quote(str(path))


class SightbookError(Exception):
    """A user's mistake or a failed environment; the command line prints it and exits 1."""


class ConfigError(SightbookError):
    """A setting that is unknown, of the wrong type, or does not fit the others."""


class SourceError(SightbookError):
    """A source that is missing, empty, of an unknown kind, or that vanished while it was read."""


class PictureError(SightbookError):
    """One picture that cannot be read; the message is the short reason, without the file's name.

    queries: which of the query pictures of a search it was, by number from 0; there it may be several.
    """

    def __init__(self, *message: object, queries: tuple[int, ...] = ()) -> None:
        super().__init__(*message)
        self.queries = queries


class ModelError(SightbookError):
    """A MODEL folder that is absent, damaged, newer than this program, or of another kind."""


class LibraryError(SightbookError):
    """A LIBRARY folder that is absent, damaged, locked, newer, or made with another model."""


class MissingExtra(SightbookError):
    """A part of sightbook whose packages are not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f'{what} needs packages that are not installed: pip install "sightbook[{extra}]"')

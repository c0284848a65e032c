"""Results on standard output: lines for people, or one JSON document. Everything else goes to standard error."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

from sightbook.images.names import to_text

# C0 and C1 controls, and what changes the direction of writing.
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_HALF = re.compile("[\ud800-\udfff]")


class ReaderGone(Exception):
    """Whoever read our standard output has closed it (`sightbook ... | head`): nothing is left to do, quietly."""


def emit(text: str) -> None:
    """Writes the text and a line end, now: a closed pipe is noticed here, not when the interpreter ends."""
    text = harmless(text)
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except UnicodeEncodeError:
        # A terminal that cannot show a file's name still gets the line, the odd characters escaped.
        sys.stdout.write(text.encode("ascii", "backslashreplace").decode() + "\n")
        sys.stdout.flush()
    except OSError as error:
        # Python flushes standard output once more at its end; that must not fail either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise ReaderGone from None
        raise


def emit_json(document: Any) -> None:
    """Writes one JSON document, of valid Unicode: names that are not UTF-8 are written as the library keeps them."""
    import json

    text = json.dumps(document, indent=2, default=_plain)
    if "\\ud" in text:  # half a character, which many readers refuse a whole document for, or a whole one
        text = json.dumps(_storable(json.loads(text)), indent=2)
    # The one control character that JSON lets stand.
    emit(text.replace("\x7f", "\\u007f"))


def answer(document: Any, text: str, *, as_json: bool) -> None:
    """Writes what a verb found: one JSON document, or the text for people."""
    if as_json:
        emit_json(document)
    else:
        emit(text)


def harmless(text: str) -> str:
    """The text with control characters escaped, but for line ends and tabs: a file's name must not steer a terminal."""
    return _STEERING.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def note(text: str) -> None:
    """One line on standard error; a closed standard error is nobody's loss."""
    text = harmless(text)
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass
    except UnicodeEncodeError:
        sys.stderr.write(text.encode("ascii", "backslashreplace").decode() + "\n")


def _storable(value: Any) -> Any:
    """Plain types whose texts are valid Unicode."""
    if isinstance(value, str):
        return to_text(value) if _HALF.search(value) else value
    if isinstance(value, list):
        return [_storable(each) for each in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(each) for key, each in value.items()}
    return value


def _plain(value: Any) -> Any:
    """What JSON does not know: paths, NumPy's numbers and arrays, dataclasses."""
    import dataclasses

    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")

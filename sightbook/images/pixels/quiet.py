"""What decoders say on the side: Python warnings, and what libtiff prints on standard error."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any


class _Quiet:
    """Turns Python warnings off while at least one thread decodes. `warnings.catch_warnings` alone is not enough:
    two threads leaving it out of order would leave warnings off for good."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._caught: Any = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore")
        try:
            yield
        finally:
            with self._lock:
                self._depth -= 1
                if self._depth == 0:
                    self._caught.__exit__(None, None, None)


quiet = _Quiet()
_standard_error = threading.Lock()


@contextmanager
def hear(name: bytes) -> Iterator[list[str]]:
    """Catches what a C library writes to standard error about the file `name`, line by line, instead of letting it go
    to the terminal without a picture's name; whatever others write there meanwhile is passed on afterwards.

    One thread at a time: standard error is the process's.
    """
    lines: list[str] = []
    with _standard_error, ExitStack() as stack:
        try:
            kept = os.dup(2)
            stack.callback(os.close, kept)
            file = stack.enter_context(tempfile.TemporaryFile())
        except OSError:  # standard error is closed, or there is no place for a file: nothing is to be heard
            yield lines
            return
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(kept, 2)
            file.seek(0)
            for line in file.read(1 << 20).splitlines(keepends=True):
                start, _, text = line.partition(b": ")
                if name in start or _is_tiff(start, text):
                    lines.append((text or line).decode("utf-8", "replace").strip())
                else:
                    with suppress(OSError):
                        os.write(2, line)


def _is_tiff(start: bytes, text: bytes) -> bool:
    """Whether a line is one of libtiff's that names a function of theirs in place of the file."""
    named = any(part in start for part in (b"TIFF", b"Decode", b"LZW", b"Fax", b"PixarLog", b"JPEG"))
    return start.isalnum() and (named or b"TIFF" in text)

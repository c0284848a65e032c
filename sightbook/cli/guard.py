"""How every verb ends: exit 0 done, 1 a mistake or failure said in one sentence, 130 Ctrl-C, 141 reader gone.

Wrong usage (exit 2) never gets here: typer reports it. A bug shows its traceback and asks for a report.
With `--json` a failure is a document, too: {"error": {"kind": ..., "message": ...}}, beside the sentence.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from sightbook import __version__
from sightbook.cli.output import ReaderGone, emit_json, note
from sightbook.errors import SightbookError

T = TypeVar("T")
FAILED, STOPPED, READER_GONE = 1, 130, 141

# Errors of the machine that are no bug of ours: what is wrong, and what to do about it.
_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space and run the same command again",
    errno.EDQUOT: "the disk quota is used up: free some space and run the same command again",
    errno.EFBIG: "the file is larger than the disk or a limit (ulimit -f) allows: raise it or choose another disk",
    errno.EROFS: "the disk is read-only: choose a folder on another one",
    errno.EACCES: "access is denied: change the permissions or choose another folder",
    errno.EPERM: "access is denied: change the permissions or choose another folder",
    errno.EIO: "the disk reports an error: check the disk and its cable, or use a copy",
    errno.ENOENT: "there is no such file or folder: check the name",
    errno.ENOTDIR: "a part of this path is a file, not a folder: check the name",
    errno.EISDIR: "this is a folder where a file was expected: check the name",
    errno.ENAMETOOLONG: "this name is too long for the file system: choose a shorter one",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n 4096) or use fewer --jobs",
    errno.ENOMEM: "the machine is out of memory: close other programs or use fewer --jobs",
    errno.ELOOP: "links lead in a circle: check the name",
    **dict.fromkeys(
        (errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN),
        "the network drive does not answer: mount it again and run the same command again",
    ),
}


class PartialFailure(SightbookError):
    """Results were printed, but not all that was asked for: exit 1, without a second JSON document."""


def guarded(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb, with its failures turned into a sentence on standard error and an exit status."""

    @functools.wraps(verb)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            verb(*arguments, **options)
        except ReaderGone:
            sys.exit(READER_GONE)
        except KeyboardInterrupt:
            note("Stopped; what was committed stays.")
            sys.exit(STOPPED)
        except Exception as error:
            message = sentence(error)
            if message is None or os.environ.get("SIGHTBOOK_DEBUG") == "1":
                import traceback

                note(traceback.format_exc().rstrip())
            if message is None:
                message = f"this is a bug in sightbook {__version__}: please report it with the lines above"
            note(f"sightbook: {message}")
            if options.get("as_json") and not isinstance(error, PartialFailure):
                with contextlib.suppress(OSError, ReaderGone):  # where results go may be what failed
                    emit_json({"error": {"kind": type(error).__name__, "message": message}})
            sys.exit(FAILED)

    return run


def beside(make: Callable[..., T], *arguments: Any) -> tuple[T | None, PartialFailure | None]:
    """What is made beside an answer; else what is to be raised once the answer is printed: it may have taken hours."""
    try:
        return make(*arguments), None
    except (SightbookError, OSError) as error:
        return None, PartialFailure(sentence(error) or str(error))


def sentence(error: BaseException) -> str | None:
    """What to tell the user about an error, or None when it is a bug of ours."""
    if isinstance(error, SightbookError):
        return " ".join(line.strip() for line in str(error).splitlines())  # blanks in a name stay
    if isinstance(error, MemoryError):
        return "the machine is out of memory: close other programs or use fewer --jobs"
    if isinstance(error, OSError) and error.errno in _ADVICE:
        where = f"{os.fsdecode(error.filename)}: " if error.filename is not None else ""
        return where + _ADVICE[error.errno]
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.split(".")[0] in _EXTRA_OF:
        extra = _EXTRA_OF[error.name.split(".")[0]]
        return f'{error.name} is not installed: pip install "sightbook[{extra}]"'
    return None


_EXTRA_OF = {
    "torch": "train",
    "transformers": "train",
    "kornia": "train",
    "onnx": "train",
    "onnxscript": "train",
    "matplotlib": "train",
    "pillow_heif": "heif",
}

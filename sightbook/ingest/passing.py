"""Which failures may pass by themselves, so that a later `add` tries again without being told.

What lies in the moment (a right, the disk, the memory, a decoder that was killed) is tried at every `add`. What lies in
who read (a version of sightbook or of a decoder, an extra that is not installed, a limit) is tried once by each other
reader. What lies in the file stays until the file changes, or `--retry`.
"""

from __future__ import annotations

import functools
import re
import time
from importlib.metadata import PackageNotFoundError, version

from sightbook.catalogue.rows import FailureRow
from sightbook.images.entry import Entry
from sightbook.images.pixels.guards import limits

# The reasons that `images` gives; tests make each of them happen.
_PASSING = re.compile(
    r"cannot be read (here )?\(|not enough memory|out of memory"
    r"|the process decoding it died \(SIG(KILL|TERM|HUP|INT|XCPU)\)"
)
_DECODERS = ("pillow", "pillow_heif")


def failure(entry: Entry, reason: str) -> FailureRow:
    """The row of a failure: one that may pass fits no size or time, so the file counts as changed at the next `add`,
    for older programs, too."""
    stat = (-1, -1) if is_passing(reason) else (entry.size, entry.mtime_ns)
    return FailureRow(*entry.key, *stat, reason, time.time())


def is_passing(reason: str) -> bool:
    """Whether the reason lies in the moment."""
    return _PASSING.search(reason) is not None


@functools.cache
def reader() -> str:
    """Who reads pictures here and now: what fails for it may not fail for another one."""
    from sightbook import __version__

    return "; ".join([f"sightbook {__version__}", *map(_installed, _DECODERS), repr(limits())])


def _installed(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package}"

"""Tells glibc to keep freed memory instead of handing it back to the kernel after every step.

A training step frees and asks again for hundreds of megabytes, a block of queries for some; each time the kernel must
map and clear the pages anew, and threads wait for each other while it does. Where page faults are dear (small cloud
machines) keeping them makes two searching threads a tenth faster (docs/log.md).

These settings are of a whole process. So they are made only where it is sightbook's own, as the command line says by
`own_process`; a program that uses sightbook as a library may say so, too.
"""

from __future__ import annotations

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3

# Whether the settings of this process's memory are sightbook's to make.
owned = False

TRAINING = (1 << 30, (1 << 31) - 1, 64 << 20)
SEARCHING = (16 << 20, 64 << 20, 0)


def own_process() -> None:
    """Says that the settings of this process's memory are sightbook's to make."""
    global owned  # noqa: PLW0603  a fact about the process
    owned = True


def keep_freed_memory(limits: tuple[int, int, int]) -> bool:
    """Sets limits for this process: bytes of the largest block that is kept, bytes kept in all, bytes asked for in
    advance. False where the process is not ours (`own_process`), there is no glibc, or the user chose by environment.
    """
    glibc = find_glibc() if owned else None
    if glibc is None or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    block, kept, ahead = limits
    settings = ((_M_MMAP_THRESHOLD, block), (_M_TRIM_THRESHOLD, kept), (_M_TOP_PAD, ahead))
    return [glibc.mallopt(parameter, value) for parameter, value in settings] == [1] * len(settings)


def give_back_freed_memory() -> None:
    """Hands what is free to the kernel, once, where the process is ours: after work whose temporary arrays were larger
    than what it leaves."""
    glibc = find_glibc() if owned else None
    if glibc is not None:
        glibc.malloc_trim(0)


def find_glibc() -> ctypes.CDLL | None:
    """The C library of this process, where it has these settings."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        library = ctypes.CDLL("libc.so.6")
        _ = library.mallopt, library.malloc_trim
    except (OSError, AttributeError):
        return None
    return library

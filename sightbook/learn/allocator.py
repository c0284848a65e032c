"""Tells glibc to keep freed memory instead of handing it back to the kernel after every training step.

A step frees and asks again for hundreds of megabytes; each time the kernel must map and clear the pages anew. Where
page faults are dear (small cloud machines), keeping them can make a step
several times faster (no benchmark here measures it yet).
"""

from __future__ import annotations

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_THRESHOLD = 1 << 30  # larger blocks than this still come from mmap
_NEVER_TRIM = (1 << 31) - 1
_TOP_PAD = 64 << 20


def keep_freed_memory() -> bool:
    """Sets the thresholds for this process; False where there is no glibc, or the user chose by environment."""
    if not sys.platform.startswith("linux") or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_M_MMAP_THRESHOLD, _THRESHOLD), (_M_TRIM_THRESHOLD, _NEVER_TRIM), (_M_TOP_PAD, _TOP_PAD))
    return [mallopt(parameter, value) for parameter, value in settings] == [1] * len(settings)

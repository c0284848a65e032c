"""How many cores this process may use: the one count that decoding, encoding, searching and training go by.

A process may be pinned to some cores (taskset, a batch system), and a container may have a quota: so much processor
time in each period, over however many cores. Threads beyond either only wait for each other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")


def cores() -> int:
    """The cores of this process, 1 or more: its affinity, and the quotas of its control groups (version 1 and 2)."""
    known = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([known, *_quotas()]))


def _quotas() -> Iterator[int]:
    """Whole cores that each limited control group allows, rounded up: a quota of 1.5 cores keeps two threads busy."""
    for folder in _folders():
        try:
            if (folder / "cpu.max").exists():
                quota, period = (folder / "cpu.max").read_text().split()
            else:
                quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            if int(quota) > 0 and int(period) > 0:
                yield -(-int(quota) // int(period))
        except (OSError, ValueError):  # no limit here: "max", or no such file
            continue


def _folders() -> Iterator[Path]:
    """The control groups that may limit this process: its own and those above it, each as far as it is seen here.

    Inside a container the path may be that of the host, which does not exist here; the container's own group is then
    the root of the mount.
    """
    try:
        lines = GROUPS.read_text().splitlines()
    except OSError:
        lines = []
    # "0::/path" is version 2; "4:cpu,cpuacct:/path" one of version 1, whose mount may have either name.
    groups = [line.split(":", 2) for line in lines if line.count(":") >= 2]
    mounts = [(MOUNT, "/"), (MOUNT / "cpu", "/"), (MOUNT / "cpu,cpuacct", "/")]
    for _, controllers, path in groups:
        if not controllers:
            mounts += [(MOUNT, path), (MOUNT / "unified", path)]
        elif "cpu" in controllers.split(","):
            mounts += [(MOUNT / controllers, path), (MOUNT / "cpu", path)]
    seen = set()
    for mount, path in mounts:
        inner = mount / path.lstrip("/")
        for folder in (inner, *inner.parents):
            if folder not in seen and (folder == mount or mount in folder.parents):
                seen.add(folder)
                yield folder

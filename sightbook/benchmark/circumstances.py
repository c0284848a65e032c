"""Under what a figure was measured: commit, machine, versions. Nothing here names a person or a path."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sightbook
from sightbook.cores import cores

_PACKAGES = ("torch", "transformers", "kornia", "numpy", "faiss-cpu", "onnxruntime", "pillow")


def circumstances(trained: Mapping[str, Any]) -> dict[str, Any]:
    """commit (None outside a checkout), changed (uncommitted changes of the program itself), machine and versions.

    trained: what a model's config.json says about its training, which may have happened on a GPU that is not here.
    """
    # Not a checkout that merely holds an installation.
    ours = _git("ls-files", "--error-unmatch", "__init__.py") is not None
    commit = _git("rev-parse", "HEAD") if ours else None
    return {
        "commit": commit,
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no", "--", ".")) if commit else None,
        "machine": {
            "system": platform.system(),
            "processor": _processor(),
            "cores": cores(),
            "memory_gib": _memory(),
            "accelerator": _accelerator(trained),
        },
        "versions": {
            "sightbook": sightbook.__version__,
            "python": platform.python_version(),
            **{name: version for name in _PACKAGES if (version := _version(name))},
        },
    }


def _git(*arguments: str) -> str | None:
    """What git says of the checkout that this program lies in; None when there is none."""
    folder = Path(sightbook.__file__).parent
    try:
        said = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip()


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def _memory() -> float | None:
    try:
        text = Path("/proc/meminfo").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"^MemTotal:\s*(\d+) kB", text, re.MULTILINE)
    return round(int(found[1]) / 2**20, 1) if found else None


def _accelerator(trained: Mapping[str, Any]) -> str | None:
    """The name of the GPU that was used, of older models its kind; None on a CPU."""
    device = str(trained["device"])
    return trained.get("accelerator") or (None if device == "cpu" else device)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None

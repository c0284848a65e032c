"""What this machine has, for `sightbook doctor`: each function looks at one thing and says it in plain words."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sightbook import __version__
from sightbook.cores import cores
from sightbook.images.pixels.formats import FORMATS, readable

Verdict = Literal["ok", "missing", "broken"]

CORE = (
    "numpy",
    "pillow",
    "pyarrow",
    "faiss-cpu",
    "onnxruntime",
    "safetensors",
    "pydantic",
    "threadpoolctl",
    "pyyaml",
    "typer",
    "rich",
)
_EXTRAS = {
    "train": ("torch", "transformers", "kornia", "onnx", "onnxscript", "matplotlib"),
    "heif": ("pillow-heif",),
}
_BOUND, _RELEASE = re.compile(r"([\w.-]+)\s*>=\s*([\d.]+)"), re.compile(r"\d+(\.\d+)*")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `missing` is optional and says how to get it; `broken` stops sightbook from working."""

    group: str
    name: str
    verdict: Verdict
    text: str


def checks() -> Iterator[Check]:
    """Every check, in the order to be read."""
    yield Check("program", "sightbook", "ok", __version__)
    yield Check("program", "python", "ok", f"{platform.python_version()} ({sys.executable})")
    yield Check("machine", "system", "ok", f"{platform.system()} {platform.release()} {platform.machine()}")
    yield Check("machine", "cores", "ok", str(cores()))
    yield Check("machine", "memory", "ok", memory())
    yield attempt("compute", "device", _torch_device)
    yield attempt("compute", "bf16", _bf16)
    yield attempt("compute", "onnxruntime", _onnxruntime)
    yield attempt("compute", "faiss", _faiss)
    for name in FORMATS:
        reason = readable(name)
        absent: Verdict = "missing" if name in ("HEIC", "AVIF") else "broken"
        yield Check("pictures", name, absent if reason else "ok", reason or "read")
    yield find_packages("core", CORE, "broken")
    for extra, names in _EXTRAS.items():
        yield find_packages(extra, names, "missing")
    yield try_folder("temporary files", Path(tempfile.gettempdir()))
    yield try_folder("model cache", _hub_cache())
    yield find_data()


def memory() -> str:
    """Memory of the machine, and the limit of the container when that is lower."""
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return "unknown"
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    text = f"{total / 2**30:.1f} GiB"
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
    except (OSError, ValueError):  # no control groups here, or no limit ("max")
        return text
    return (
        f"{limit / 2**30:.1f} GiB (limit of this container; the machine has {text})"
        if limit < total
        else text
    )


def attempt(group: str, name: str, look: Callable[[], str]) -> Check:
    """Runs a look; whatever a broken installation raises is the finding."""
    try:
        return Check(group, name, "ok", look())
    except ModuleNotFoundError as error:
        extra = 'pip install "sightbook[train]"' if error.name == "torch" else f"pip install {error.name}"
        verdict: Verdict = "missing" if error.name == "torch" else "broken"
        return Check(group, name, verdict, f"{error.name} is not installed: {extra}")
    except Exception as error:
        return Check(group, name, "broken", f"{type(error).__name__}: {error}")


def _torch_device() -> str:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
        found = ", ".join(f"{each.name} {each.total_memory / 2**30:.0f} GiB" for each in names)
        return f"cuda: {found} (torch {torch.__version__})"
    if torch.backends.mps.is_available():
        return f"mps (torch {torch.__version__})"
    return f"cpu: no GPU that torch {torch.__version__} can use"


def _bf16() -> str:
    """Measured: many processors accept bf16 and are slower with it."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    half, full = (_matmul_seconds(torch, device, kind) for kind in (torch.bfloat16, torch.float32))
    return f"{full / half:.1f} times the speed of float32 on {device}"


def _matmul_seconds(torch: Any, device: str, kind: Any) -> float:
    matrix = torch.ones((512, 512), dtype=kind, device=device)
    best = float("inf")
    for _ in range(6):
        start = time.perf_counter()
        float((matrix @ matrix)[0, 0])  # reading one number waits for the device
        best = min(best, time.perf_counter() - start)
    return best


def _onnxruntime() -> str:
    from sightbook.model.graph import runtime

    onnxruntime = runtime()
    return f"{onnxruntime.__version__} ({', '.join(onnxruntime.get_available_providers())})"


def _faiss() -> str:
    import faiss

    return f"{faiss.__version__} ({faiss.get_compile_options().strip()})"


def find_packages(extra: str, names: tuple[str, ...], absent: Verdict) -> Check:
    """Whether all packages of an extra are installed, and new enough; `absent` is the verdict when one is not."""
    found, wanting, least = [], [], _least()
    for name in names:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            wanting.append(f"{name} not installed")
            continue
        found.append(f"{name} {version}")
        if _numbers(version) < _numbers(least.get(name, "0")):
            wanting.append(f"{name} {version} is older than {least[name]}")
    label = "needed" if extra == "core" else f"extra [{extra}]"
    if not wanting:
        return Check("packages", label, "ok", ", ".join(found))
    install = "sightbook" if extra == "core" else f'"sightbook[{extra}]"'
    return Check("packages", label, absent, f"{', '.join(wanting)}: pip install --upgrade {install}")


def _least() -> dict[str, str]:
    """The oldest version of each package that this installation of sightbook asks for; none where it is not installed
    but run from its folder."""
    try:
        asked = importlib.metadata.requires("sightbook") or ()
    except importlib.metadata.PackageNotFoundError:
        return {}
    return {found[1]: found[2] for each in asked if (found := _BOUND.match(each))}


def _numbers(version: str) -> tuple[int, ...]:
    """The release's numbers: (2, 13, 0) of 2.13.0+cpu."""
    found = _RELEASE.match(version)
    return tuple(map(int, found[0].split("."))) if found else ()


def try_folder(name: str, folder: Path) -> Check:
    """Whether a folder, or the one above it that is there, can be written, and how much room it has."""
    existing = next((each for each in (folder, *folder.parents) if each.exists()), folder)
    try:
        with tempfile.TemporaryFile(dir=existing):
            free = shutil.disk_usage(existing).free
    except OSError as error:
        return Check("folders", name, "missing", f"{folder} cannot be written ({error.strerror})")
    return Check("folders", name, "ok", f"{folder}, {free / 2**30:.0f} GiB free")


def _hub_cache() -> Path:
    """Where pretrained backbones are kept, as huggingface_hub decides it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    home = Path(os.environ.get("HF_HOME") or cache / "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()


def find_data() -> Check:
    """What $SIGHTBOOK_DATA names."""
    value = os.environ.get("SIGHTBOOK_DATA")
    if not value:
        return Check(
            "folders", "SIGHTBOOK_DATA", "ok", "not set (only tests and benchmarks on real pictures use it)"
        )
    if not Path(value).is_dir():
        return Check("folders", "SIGHTBOOK_DATA", "missing", f"{value} is not a folder")
    inside = sorted(each.name for each in Path(value).iterdir() if each.is_dir())
    return Check("folders", "SIGHTBOOK_DATA", "ok", f"{value}: {', '.join(inside) or 'no folders inside'}")

"""What holds for every test: no network, no display, few threads, and property tests without a clock."""

from __future__ import annotations

import os

# Before torch, faiss or onnxruntime are imported: two threads are enough for toy sizes, and CI has two cores.
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"

from hypothesis import settings

settings.register_profile("sightbook", deadline=None, derandomize=True)
settings.load_profile("sightbook")

"""What holds for every test: no network, no display, few threads, and property tests without a clock."""

from __future__ import annotations

import os
import signal

# A shell that runs the tests in the background has them ignore Ctrl-C, and every program they start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Before torch, faiss or onnxruntime are imported: two threads are enough for toy sizes, and CI has two cores; of tests
# that run beside others (pytest-xdist) each gets one.
os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["MPLBACKEND"] = "Agg"

from hypothesis import settings

settings.register_profile("sightbook", deadline=None, derandomize=True)
settings.load_profile("sightbook")

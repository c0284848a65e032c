"""One count of cores: affinity and the quotas of control groups, wherever a machine tells them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from sightbook import cores as counting
from sightbook.cli import machine
from sightbook.cores import cores
from sightbook.model.graph import open_session
from sightbook.model.model import Model
from sightbook.threads import at_most, own_cores
from tests.tiny import tiny_model

AFFINITY = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Groups:
    """Control groups as files."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.mine = folder, folder / "self"
        self.mine.write_text("")

    def write(self, **files: str) -> None:
        for name, text in files.items():
            path = self.folder / "fs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Groups:
    found = Groups(tmp_path)
    monkeypatch.setattr(counting, "GROUPS", found.mine)
    monkeypatch.setattr(counting, "MOUNT", tmp_path / "fs")
    monkeypatch.setattr(counting.os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    return found


V1 = {"cpu.cfs_period_us": "100000\n"}


@pytest.mark.parametrize(
    ("mine", "files", "expected"),
    [
        ("", {}, 64),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 64),
        ("0::/\n", {"cpu.max": "400000 100000\n"}, 4),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "10000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "12800000 100000\n"}, 64),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, 3),
        ("0::/a/b\n", {"a/b/cpu.max": "500000 100000", "a/cpu.max": "300000 100000"}, 3),
        ("0::/docker/gone\n", {"cpu.max": "200000 100000"}, 2),
        (
            "4:cpu,cpuacct:/\n",
            {"cpu,cpuacct/cpu.cfs_quota_us": "200000", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            2,
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
        ("1:cpu:/job/7\n", {"cpu/job/cpu.cfs_quota_us": "500000", "cpu/job/cpu.cfs_period_us": "100000"}, 5),
        ("1:cpu:/docker/gone\n", {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ("0::/\n", {"cpu.max": "nonsense"}, 64),
        ("nonsense\n", {"cpu.max": "100000 0"}, 64),
    ],
)
def test_quotas_of_both_versions_and_of_groups_above_count(
    groups: Groups, mine: str, files: dict[str, str], expected: int
) -> None:
    groups.mine.write_text(mine)
    groups.write(**files)
    assert cores() == expected


def test_encoder_doctor_and_blas_go_by_that_count(groups: Groups, tmp_path: Path) -> None:
    groups.write(**{"cpu.max": "100000 100000"})
    folder = tiny_model(tmp_path / "model")
    assert open_session(folder / "encoder.onnx").get_session_options().intra_op_num_threads == 1
    assert open_session(folder / "encoder.onnx", 3).get_session_options().intra_op_num_threads == 3
    assert Model.open(folder).embed(np.zeros((1, 16, 16, 3), np.uint8)).shape == (1, 16)
    told = next(check for check in machine.checks() if check.name == "cores")
    assert told.text == "1"
    before = blas()
    with own_cores():
        assert set(blas()) <= {1}
        with at_most(8):
            assert set(blas()) <= {1}, "never more than around it"
    assert blas() == before


def test_a_limit_above_what_blas_has_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = blas()
    with at_most(1000):
        assert blas() == before
        with at_most(1):
            assert set(blas()) <= {1}
        assert blas() == before
    assert blas() == before


@pytest.mark.skipif(
    AFFINITY < 2 or not hasattr(os, "sched_setaffinity"), reason="needs two cores to leave one out"
)
def test_a_process_that_is_pinned_takes_as_many_threads(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model")
    program = f"""
import os
os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})
from sightbook.model.graph import open_session
print(open_session({str(folder / "encoder.onnx")!r}).get_session_options().intra_op_num_threads)
"""
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "1"


def blas() -> list[Any]:
    """Threads of NumPy's BLAS."""
    return [
        each["num_threads"]
        for each in threadpool_info()
        if each["user_api"] == "blas" and "numpy" in each["filepath"]
    ]

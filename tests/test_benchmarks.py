"""Benchmarks are run by hand, so a test sees to it that they still fit the program: they import, and one runs."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[1] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_benchmark_imports_what_it_names(script: Path) -> None:
    pytest.importorskip("torch")
    assert callable(runpy.run_path(str(script))["main"])


def test_a_library_survives_some_faults() -> None:
    """A short campaign; benchmarks/faults.py runs hundreds."""
    script = next(path for path in SCRIPTS if path.stem == "faults")
    done = subprocess.run(
        [sys.executable, str(script), "--runs", "6", "--seed", "5"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "; 0 losses" in done.stdout


def test_damaged_pictures_do_no_harm() -> None:
    """A short campaign; benchmarks/bad_pictures.py damages thousands."""
    script = next(path for path in SCRIPTS if path.stem == "bad_pictures")
    done = subprocess.run(
        [sys.executable, str(script), "--files", "300", "--seed", "7"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 did harm" in done.stdout


def test_the_training_benchmark_measures_a_step(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    script = next(path for path in SCRIPTS if path.stem == "train_speed")
    small = [
        "backbone.stem_width=8",
        "backbone.widths=[8]",
        "backbone.depths=[1]",
        "batch=8",
        "precision=fp32",
    ]
    command = [
        sys.executable,
        str(script),
        "--steps",
        "2",
        "--rounds",
        "1",
        "--json",
        str(tmp_path / "out.json"),
    ]
    command += [part for setting in small for part in ("--set", setting)]
    done = subprocess.run(command, cwd=script.parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "loop / bare" in done.stdout and (tmp_path / "out.json").is_file()

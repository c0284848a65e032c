"""`sightbook doctor` looks at the real machine; here a machine where things are missing or broken."""

from __future__ import annotations

import importlib.metadata
import json
import re
from pathlib import Path

import pytest

from sightbook.cli import machine
from sightbook.images.pixels.formats import FORMATS
from tests.cli.conftest import Run


def test_doctor_names_device_versions_formats_and_extras(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data" / "cifar10").mkdir(parents=True)
    done = run("doctor", "--json", env={"SIGHTBOOK_DATA": str(tmp_path / "data")})
    document = json.loads(done.stdout)
    assert done.returncode == 0 and document["ok"] is True and done.stderr == ""
    assert list(document) == ["ok", "program", "machine", "compute", "pictures", "packages", "folders"]
    assert list(document["pictures"]) == list(FORMATS)
    assert document["compute"]["device"]["text"].split(":")[0].split()[0] in ("cpu", "cuda", "mps")
    assert document["folders"]["SIGHTBOOK_DATA"] == {"verdict": "ok", "text": f"{tmp_path / 'data'}: cifar10"}


def test_a_missing_extra_says_how_to_install_it() -> None:
    check = machine.find_packages("heif", ("sightbook", "no-such-package"), "missing")
    assert check.verdict == "missing"
    assert check.text == 'no-such-package not installed: pip install --upgrade "sightbook[heif]"'


@pytest.mark.parametrize(
    ("here", "verdict"),
    [("2.13.0+cpu", "ok"), ("2.11", "ok"), ("2.11.0rc1", "ok"), ("2.9.1", "broken"), ("1.99", "broken")],
)
def test_a_package_that_is_too_old_is_named(here: str, verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [
        "numpy>=1.26.4",
        'torch>=2.11; extra == "train"',
        "nobound",
        'pillow-heif>=0.18; extra == "heif"',
    ]
    monkeypatch.setattr(machine.importlib.metadata, "requires", lambda name: asked)
    monkeypatch.setattr(machine.importlib.metadata, "version", lambda name: here)
    check = machine.find_packages("train", ("torch", "nobound"), "broken")
    assert check.verdict == verdict
    if verdict == "broken":
        assert check.text == f'torch {here} is older than 2.11: pip install --upgrade "sightbook[train]"'


def test_every_package_that_is_needed_is_looked_at() -> None:
    asked = importlib.metadata.requires("sightbook") or ()
    needed = {re.split(r"[><=;\s\[]", each)[0] for each in asked if "extra ==" not in each}
    told = machine.find_packages("core", machine.CORE, "broken").text
    assert needed == set(machine.CORE) == {each.split()[0] for each in told.split(", ")}


def test_a_missing_torch_is_no_fault_and_a_broken_faiss_is() -> None:
    def without(name: str) -> machine.Check:
        def look() -> str:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        return machine.attempt("compute", "x", look)

    assert without("torch").verdict == "missing" and 'pip install "sightbook[train]"' in without("torch").text
    assert without("faiss").verdict == "broken"

    def crash() -> str:
        raise ImportError("libgomp.so.1: cannot open shared object file")

    assert (
        machine.attempt("compute", "faiss", crash).text
        == "ImportError: libgomp.so.1: cannot open shared object file"
    )


def test_a_folder_that_cannot_be_made_is_looked_at_through_its_parent(tmp_path: Path) -> None:
    assert machine.try_folder("cache", tmp_path / "not" / "yet").verdict == "ok"


def test_a_data_folder_that_is_gone_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SIGHTBOOK_DATA", str(tmp_path / "gone"))
    assert machine.find_data().verdict == "missing"

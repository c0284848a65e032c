"""`sightbook doctor` looks at the real machine; here a machine where things are missing or broken."""

from __future__ import annotations

import json
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
    assert check.text == 'no-such-package not installed: pip install "sightbook[heif]"'


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

"""The recipe *A method* of CONTRIBUTING.md: one file and one line make it one of the program's own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml

from tests.between.workshop import Workshop, open_workshop
from tests.pictures import write_photos

TOY = '''"""Toy: the contrast of codes, and each embedding is pulled to its own code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sightbook.learn.methods.method import Method
from sightbook.learn.methods.terms import Weight

if TYPE_CHECKING:
    from torch import Tensor

    from sightbook.learn.methods.batch import Given, ViewBatch


@dataclass(frozen=True)
class Terms:
    """pull: weight of the distance to the code."""

    pull: Weight = 0.25


def loss(batch: ViewBatch, given: Given[Terms]) -> dict[str, Tensor]:
    from sightbook.learn.losses import contrast

    distance = (batch.x - batch.z.detach()).square().sum(1).mean()
    return {"contrast": contrast(batch.z, given.tau), "pull": given.terms.pull * distance}


toy = Method(loss, {"tau": 0.4, "batch": 8}, terms=Terms)
'''


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    made = open_workshop(tmp_path_factory.mktemp("workshop"))
    made.write("learn/methods/toy.py", TOY)
    made.put("learn/methods/registry.py", '"spq", ', '"toy", ')
    write_photos(made.root / "photos", 20)
    return made


def test_help_and_completion_know_it(workshop: Workshop) -> None:
    assert "|toy|spq|" in workshop.run("train", "--help").stdout.replace("\n", "")
    assert workshop.complete("method")[:4] == ["neighbours", "rcq", "transclippedclr", "toy"]
    assert "terms.pull=" in workshop.complete("setting")


def test_it_is_shown_with_its_own_settings(workshop: Workshop) -> None:
    shown = yaml.safe_load(workshop.run("train", "photos", "--show", "--method", "toy").stdout)
    assert (shown["method"], shown["tau"], shown["batch"]) == ("toy", 0.4, 8)
    assert shown["terms"] == {"pull": 0.25}


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("terms.pull=-1", "terms.pull must be greater than or equal to 0"),
        ("terms.pull=much", "terms.pull must be a number, not 'much'"),
        ("terms.push=1", "terms.push would do nothing in method toy: it has terms.pull"),
    ],
)
def test_its_terms_are_checked(setting: str, says: str, workshop: Workshop) -> None:
    done = workshop.run("train", "photos", "--show", "--method", "toy", "--set", setting)
    assert (done.returncode, done.stderr.strip().splitlines()[-1]) == (1, f"sightbook: {says}")


def test_it_trains(workshop: Workshop) -> None:
    tiny = ["backbone.widths=[8, 8]", "backbone.depths=[1, 1]", "precision=fp32", "terms.pull=0.5"]
    options = [part for setting in tiny for part in ("--set", setting)]
    done = workshop.run(
        "train", "photos", "--out", "m", "--method", "toy", "--epochs", 1, "--jobs", 1, *options
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads((workshop.root / "m" / "config.json").read_text())
    assert (facts["method"], facts["trained"]["steps"]) == ("toy", 2)
    line = json.loads((workshop.root / "m" / "train" / "log.jsonl").read_text().splitlines()[-1])
    assert list(line["terms"]) == ["contrast", "pull"]
    assert sum(line["terms"].values()) == pytest.approx(line["loss"], abs=1e-4)
    assert "| pull | 0.5 |" in (workshop.root / "m" / "README.md").read_text()


def test_to_list_methods_imports_no_torch(workshop: Workshop) -> None:
    (workshop.root / "listing.py").write_text(
        "import sys\n"
        "from sightbook.learn.methods.registry import find, names\n"
        "from sightbook.learn.settings.config import setting_names\n"
        "print([find(name).terms for name in names()], 'terms.pull' in setting_names(), 'torch' in sys.modules)\n"
    )
    said = subprocess.run(
        [sys.executable, "listing.py"], cwd=workshop.root, capture_output=True, text=True, check=True
    ).stdout
    assert "Terms(pull=0.25)" in said and said.strip().endswith("True False")

"""The program as a whole: help, version, usage errors, start-up."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import sightbook
from tests.cli.conftest import Run

VERBS = [
    "demo",
    "train",
    "add",
    "search",
    "status",
    "remove",
    "check",
    "compact",
    "migrate",
    "export",
    "evaluate",
    "benchmark",
    "doctor",
]


def test_version(run: Run) -> None:
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"sightbook {sightbook.__version__}\n", "")


def test_help_lists_every_verb_with_a_whole_sentence(run: Run) -> None:
    done = run("--help", env={"COLUMNS": "80"})
    assert done.returncode == 0 and done.stderr == ""
    listed = re.findall(r"^  (\w+) {2,}(\S.*)$", done.stdout.split("Commands:")[1], re.MULTILINE)
    assert [verb for verb, _ in listed] == VERBS
    assert [
        sentence for _, sentence in listed if not sentence.endswith(".") or sentence.endswith("...")
    ] == []


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_every_verb_has_an_example(verb: str, run: Run) -> None:
    done = run(verb, "--help")
    assert done.returncode == 0
    assert re.search(rf"Examples?:\n    sightbook {verb}\b", done.stdout)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("serch",), "No such command 'serch'"),
        (("search", "library"), "Missing argument 'IMAGE...'"),
        (("train", "photos"), "'--out': name the folder to write"),
        (("search", "library", "a.jpg", "-k", "0"), "Invalid value for '-k'"),
        (("add", "library", "photos", "--prnue"), "No such option"),
        (("add", "", "photos"), "Invalid value for 'LIBRARY': it is an empty name"),
        (("train", "photos", "--out", ""), "Invalid value for '--out': it is an empty name"),
        (
            ("export", "library", "--format", "faiss", "--out", ""),
            "Invalid value for '--out': it is an empty name",
        ),
    ],
)
def test_wrong_usage_exits_2_and_says_what(arguments: tuple[str, ...], says: str, run: Run) -> None:
    done = run(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert says in done.stderr


def test_help_imports_nothing_heavy() -> None:
    """What keeps `sightbook --help` under 0.4 s on a slow machine, without a clock."""
    code = (
        "import sys\nfrom sightbook.cli import main\nsys.argv = ['sightbook', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'PIL', 'faiss', 'torch', 'onnxruntime', 'pydantic', 'pyarrow', 'rich', 'sqlite3'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_the_installed_command_is_the_same_program() -> None:
    command = Path(sys.executable).with_name("sightbook")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"sightbook {sightbook.__version__}\n"

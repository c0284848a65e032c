"""The documentation is true: every command and every Python example in it is run, and every option is in it.

Each page is run from top to bottom in a folder of its own, where made-up pictures stand in the places the pages name:
`photos`, `labels.csv`, and `$SIGHTBOOK_DATA`; a YAML block is the file `my-plan.yaml`, a Python block that begins with
`# NAME.py` is that file. Commands are run as written, but for SHORTER below.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer.main
from PIL import Image

from tests.model.test_backbone import write_backbone
from tests.pictures import KINDS, picture, write_photos

ROOT = Path(__file__).parent.parent

# The one difference between what the pages say and what is run here: training budgets are cut to seconds (what learns
# in closed form has none), the measurement that chooses between fp32 and bf16 is left out, and the demo takes the few
# pictures that are there instead of drawing thousands (tests/demo runs it on drawn ones).
SHORTER = (
    (r"^sightbook train (?!--help)(?!.*--train head)", "sightbook train --set precision=fp32 "),
    (r"--minutes \d+", "--minutes 0.05"),
    (r"\bminutes=\d+", "minutes=0.05"),
    (r"--epochs [1-9]\d*", "--epochs 1"),
    (r"^sightbook demo\b", "sightbook demo --data photos --minutes 0.05"),
)

# Lines that install sightbook: the tests run inside such an installation. Checked by reading, see `check_installing`.
INSTALLING = (
    r"(\.venv/bin/)?pip install .*",
    r"python3\.11 -m venv \.venv",
    r"source \.venv/bin/activate",
)

# Pages whose commands are run. docs/log.md is not among them: it keeps commands as records of what was run, and when.
PAGES = ["README.md", "CONTRIBUTING.md"] + [
    f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")) if path.name != "log.md"
]


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the number of its first line, its lines without indentation."""

    language: str
    line: int
    lines: list[str]


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    fence = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\s*$")
    inside: Block | None = None
    indent = 0
    for number, line in enumerate((ROOT / page).read_text(encoding="utf-8").splitlines(), 1):
        match = fence.match(line)
        if match and inside is None:
            indent = len(match["indent"])
            inside = Block(match["language"], number + 1, [])
        elif match and inside is not None:
            yield inside
            inside = None
        elif inside is not None:
            inside.lines.append(line[indent:])
    assert inside is None, f"{page}: a fenced block is never closed"


def commands(page: str) -> Iterator[tuple[int, str]]:
    """(line number, command) of every command in the page's bash blocks; a line ending in \\ goes on."""
    for block in blocks(page):
        if block.language == "bash":
            begun, first = "", 0
            for number, line in enumerate(block.lines, block.line):
                first = first if begun else number
                begun += line
                if begun.endswith("\\"):
                    begun = begun[:-1]
                elif begun.strip() and not begun.lstrip().startswith("#"):
                    yield first, begun.strip()
                    begun = ""
                else:
                    begun = ""


def shortened(text: str) -> str:
    for pattern, replacement in SHORTER:
        text = re.sub(pattern, replacement, text)
    begins = text.startswith("sightbook train ")
    if begins and not re.search(
        "--(epochs|minutes|help|resume|train head)", text
    ):  # else it takes its default minutes
        text += " --epochs 1"
    return text


# -- running -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    """A folder with what the pages take for granted."""
    kinds = write_photos(tmp_path / "photos", 72)
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", "series"])
        writer.writerows([name, kind, number % 7] for number, (name, kind) in enumerate(kinds.items()))
    write_cifar(tmp_path / "data" / "cifar10")
    write_backbone(tmp_path / "models" / "dinov2-small", "dinov2")
    return tmp_path


def write_cifar(folder: Path) -> None:
    """train.parquet and test.parquet in the layout of the real ones, with few pictures."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(7)
    for name, count in (("train", 120), ("test", 20)):
        rows, labels = [], []
        for number in range(count):
            kind = number % len(KINDS)
            file = io.BytesIO()
            Image.fromarray(picture(KINDS[kind], random)).save(file, "JPEG")
            rows.append({"bytes": file.getvalue(), "path": f"{number}.jpg"})
            labels.append(kind)
        layout = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        pq.write_table(
            pa.table({"image": pa.array(rows, layout), "label": labels}), folder / f"{name}.parquet"
        )


def run(arguments: list[str], folder: Path, where: str) -> None:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "SIGHTBOOK_DATA": str(folder / "data"),
        "PYTHONPATH": "",
        "HF_HUB_OFFLINE": "1",  # what a page says must not hang on a network
        "HF_HUB_CACHE": str(folder / "hub"),
    }
    done = subprocess.run(
        arguments,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (
        f"{where} left with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    )


def check_installing(command: str) -> bool:
    """Whether the command installs sightbook; if so, that the files and extras it names exist."""
    if not any(re.fullmatch(pattern, command) for pattern in INSTALLING):
        return False
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for names in re.findall(r"\[([\w,]+)\]", command):
        assert set(names.split(",")) <= set(extras), f"{command}: pyproject.toml has no such extra"
    for name in re.findall(r"-c (\S+)", command):
        assert (ROOT / name).is_file(), f"{command}: there is no {name}"
    return True


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_example_runs(page: str, sandbox: Path) -> None:
    for block in blocks(page):
        if block.language == "yaml":
            (sandbox / "my-plan.yaml").write_text("\n".join(block.lines), encoding="utf-8")
        if block.language == "python" and re.fullmatch(r"# \w+\.py", block.lines[0]):
            (sandbox / block.lines[0][2:]).write_text("\n".join(block.lines), encoding="utf-8")
    for number, command in commands(page):
        where = f"{page}:{number}: {command}"
        if check_installing(command):
            continue
        if command.startswith("make "):  # the targets exist; make itself is what runs these tests
            run(["make", "--dry-run", *shlex.split(command)[1:]], ROOT, where)
            continue
        begun = time.monotonic()
        run(["bash", "-euo", "pipefail", "-c", shortened(command)], sandbox, where)
        print(f"{time.monotonic() - begun:6.1f} s  {where}")
    script = examples(page)
    if script:
        path = sandbox / "examples.py"
        path.write_text(shortened(script), encoding="utf-8")
        begun = time.monotonic()
        run(
            [sys.executable, str(path)],
            sandbox,
            f"the Python examples of {page} (line numbers are the page's)",
        )
        print(f"{time.monotonic() - begun:6.1f} s  {page}: Python examples")


def examples(page: str) -> str:
    """The page's Python blocks as one program, each line at the line number it has in the page; '' when none."""
    lines: list[str] = []
    for block in blocks(page):
        if block.language == "python":
            lines += [""] * (block.line - 1 - len(lines)) + block.lines
    return "\n".join(lines)


@pytest.mark.parametrize("page", [*PAGES, "docs/log.md"])
def test_no_block_escapes_being_run(page: str) -> None:
    assert {block.language for block in blocks(page)} <= {"bash", "python", "text", "json", "sql", "yaml"}


# -- completeness ------------------------------------------------------------------------------------------------------


def verbs() -> dict[str, click.Command]:
    from sightbook.cli.app import app

    group = typer.main.get_command(app)
    return dict(group.commands)  # type: ignore[attr-defined]


def section(verb: str) -> str:
    """What docs/commands.md says of a verb."""
    found = re.search(
        rf"^## sightbook {verb}\n(.*?)(?=^## |\Z)",
        (ROOT / "docs/commands.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    assert found, f'docs/commands.md has no section "## sightbook {verb}"'
    return found[1]


def test_commands_are_documented_each_in_a_section() -> None:
    written = re.findall(r"^## sightbook (\w+)$", (ROOT / "docs/commands.md").read_text(), re.MULTILINE)
    assert sorted(written) == sorted(verbs())


@pytest.mark.parametrize(
    "verb",
    [
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
        "demo",
        "doctor",
    ],
)
def test_options_of_a_command_are_those_documented(verb: str) -> None:
    parameters = verbs()[verb].params
    real = {
        option
        for item in parameters
        for option in (*item.opts, *item.secondary_opts)
        if option.startswith("--")
    }
    table = "\n".join(line for line in section(verb).splitlines() if line.startswith("|"))
    assert set(re.findall(r"`(?:-\w, )?(--[\w-]+)", table)) == real - {"--help"}


def test_settings_and_their_defaults_are_those_documented() -> None:
    from sightbook.learn.methods.registry import BUILT_IN, find
    from sightbook.learn.settings.config import TrainConfig
    from sightbook.learn.settings.layers import merge
    from sightbook.learn.settings.presets import DEFAULT_METHOD

    defaults = TrainConfig.model_construct().model_dump(mode="json")
    rows = re.findall(r"^\| `([\w.]+)` \| (.*?) \| .+ \|$", section("train"), re.MULTILINE)
    of_others = {"terms": {term: None for name in BUILT_IN for term in find(name).term_names}}
    documented = merge(defaults, of_others, {"method": DEFAULT_METHOD}, find(DEFAULT_METHOD).settings)
    assert dict(rows) == dict(flat(documented))


def flat(section: dict[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as (dotted key, value as the documentation writes it)."""
    for name, value in section.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value if isinstance(value, str) else json.dumps(value)


def test_links_between_files_lead_somewhere() -> None:
    link = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
    broken = [
        f"{page}: {target}"
        for page in [*PAGES, "docs/log.md", "CHANGELOG.md"]
        for target in link.findall((ROOT / page).read_text(encoding="utf-8"))
        if "://" not in target and not (ROOT / page).parent.joinpath(target).exists()
    ]
    assert broken == []


def test_pages_build_without_a_warning_and_load_nothing_from_elsewhere(tmp_path: Path) -> None:
    site = tmp_path / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    pages = sorted(site.rglob("*.html"))
    assert len(pages) >= len(list((ROOT / "docs").glob("*.md")))
    loads = re.compile(
        r"<(?:script|img|iframe|source)[^>]*\ssrc=[\"']?(?:https?:)?//"
        r"|<link[^>]*rel=[\"']?(?:stylesheet|preconnect)[^>]*//"
    )
    assert [path.name for path in pages if loads.search(path.read_text(encoding="utf-8"))] == []

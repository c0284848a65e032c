"""Promises about the whole tree: who imports whom, what never happens, and which files must agree."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

import sightbook
from tests.tiny import tiny_model

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "sightbook"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(), str(path))


def called(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Every call with its dotted name as written."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def tracked_files() -> list[Path]:
    """What git keeps; where the tree is no clone (an unpacked sdist), what looks like source."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    except (OSError, subprocess.CalledProcessError):
        kept = {".py", ".md", ".toml", ".txt", ".yml", ".yaml"}
        return [path for path in ROOT.rglob("*") if path.suffix in kept and ".venv" not in path.parts]


# -- imports ----------------------------------------------------------------------------------------------------------


def test_rooms_import_only_what_the_contract_allows() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


HEAVY = ("torch", "transformers", "kornia", "onnxscript", "matplotlib")

AFTERWARDS = f"""
import sys
from sightbook.cli import main
code = 0
try:
    main()
except SystemExit as leaving:
    code = leaving.code or 0
loaded = [name for name in {HEAVY!r} if name in sys.modules]
if code or loaded:
    sys.exit(f"exit status {{code}}, imported: {{loaded}}")
"""


@pytest.fixture(scope="module")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model, forty pictures of ten labels, and a library of them."""
    world = tmp_path_factory.mktemp("world")
    tiny_model(world / "model")
    (world / "photos").mkdir()
    rows = ["file,label"]
    for number in range(40):
        name = f"{number:02d}.png"
        Image.new("RGB", (20, 20), (number * 6, 255 - number * 6, number % 10 * 25)).save(
            world / "photos" / name
        )
        rows.append(f"{name},{number % 10}")
    (world / "labels.csv").write_text("\n".join(rows) + "\n")
    run_verb(world, "add library photos --model model --jobs 1")
    return world


def run_verb(folder: Path, command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", AFTERWARDS, *command.split()],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"sightbook {command}: {done.stdout}{done.stderr}"


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "train --help",
        "add library photos",
        "search library photos/07.png -k 3 --sheet sheet.png",
        "status library",
        "evaluate model --protocol labelled --data photos --labels labels.csv",
        "remove library 3?.png",
    ],
)
def test_torch_is_never_imported_by(command: str, small_world: Path) -> None:
    run_verb(small_world, command)


def test_importing_the_package_imports_none_of_its_dependencies() -> None:
    code = "import sys, sightbook; print(*{'torch', 'numpy', 'PIL', 'faiss', 'pydantic', 'typer'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_every_public_name_can_be_had() -> None:
    for name in sightbook.__all__:
        assert getattr(sightbook, name) is not None


# -- what never happens ------------------------------------------------------------------------------------------------

EXECUTES_DATA = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}

# Messages in memory between a process and the children it started itself; no file is ever read that way.
TALKS_TO_ITS_CHILDREN = {"sightbook/images/load/child.py"}


def test_no_module_of_the_package_can_unpickle() -> None:
    found = [
        f"{path}: {name}"
        for path, tree in modules()
        for name in imported(tree)
        if name.split(".")[0] in EXECUTES_DATA and path not in TALKS_TO_ITS_CHILDREN
    ]
    for path, tree in modules():
        for name, call in called(tree):
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            unsafe = (
                (name == "torch.load" and keywords.get("weights_only") != "True")
                or (name.endswith((".load", ".memmap")) and keywords.get("allow_pickle", "False") != "False")
                or name in {"eval", "exec", "yaml.load", "yaml.unsafe_load", "yaml.full_load"}
                or keywords.get("trust_remote_code", "False") != "False"
            )
            if unsafe:
                found.append(f"{path}:{call.lineno}: {ast.unparse(call)}")
    assert found == []


def test_no_module_of_the_package_opens_a_connection() -> None:
    asked_for = {"sightbook/model/hub.py"}  # a backbone that the user names on the hub
    network = {"socket", "urllib.request", "http.client", "requests", "httpx", "ftplib", "smtplib"}
    found = [(path, name) for path, tree in modules() for name in imported(tree) if name in network]
    assert [(path, name) for path, name in found if path not in asked_for] == []


def test_only_the_command_line_prints_and_exits() -> None:
    speaking = {"print", "sys.exit", "exit", "quit", "input", "sys.stdout.write", "sys.stderr.write"}
    found = [
        f"{path}:{call.lineno}: {name}"
        for path, tree in modules()
        if not path.startswith("sightbook/cli/")
        for name, call in called(tree)
        if name in speaking
    ]
    assert found == []


def test_no_file_is_named_after_nothing() -> None:
    empty_names = {"utils.py", "util.py", "helpers.py", "helper.py", "common.py", "misc.py"}
    assert [path for path, _ in modules() if Path(path).name in empty_names] == []


def test_no_file_names_a_machine_or_a_registry() -> None:
    # Put together from parts, so that this file does not name them either.
    hosts = [
        "pypi" + ".org",
        "python" + "hosted",
        "download." + "pytorch",
        "registry." + "npmjs",
        "debian" + ".org",
    ]
    folders = ["/" + name + "/" for name in ("work", "root", "opt", "mnt", "Users")]
    found = []
    for path in tracked_files():
        content = path.read_bytes()
        try:
            text = content.decode()
        except UnicodeDecodeError:
            text = content.decode("latin-1")  # graphs and pictures tell such things, too
        for number, line in enumerate(text.splitlines(), 1):
            # A folder only when the path starts there: docs/work/x is nobody's machine.
            named = [
                folder for folder in folders if re.search(r"(?<![\w.*/-])" + re.escape(folder) + r"\w", line)
            ]
            named += [host for host in hosts if host in line]
            found += [f"{path.relative_to(ROOT)}:{number}: {name}" for name in named]
    assert found == []


# -- files that must agree ---------------------------------------------------------------------------------------------


def test_the_version_is_the_same_everywhere() -> None:
    version = PROJECT["version"]
    assert sightbook.__version__ == version
    assert importlib.metadata.version("sightbook") == version
    assert version in (ROOT / "CHANGELOG.md").read_text()


def pins() -> dict[str, str]:
    lines = (line.split("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines())
    return {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in lines if line}


def declared() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"]
    lines = PROJECT["dependencies"] + [line for name in extras for line in extras[name]]
    return [Requirement(line) for line in lines if not line.startswith("sightbook[")]


def test_every_declared_dependency_is_pinned_inside_its_range() -> None:
    tested = pins()
    assert len(tested) >= len(declared())
    for requirement in declared():
        version = tested.get(canonicalize_name(requirement.name))
        assert version is not None, f"constraints.txt does not pin {requirement.name}"
        assert requirement.specifier.contains(version), f"{requirement} does not allow the pinned {version}"


def test_torch_is_pinned_exactly() -> None:
    assert pins()["torch"] == "2.13.0"


def test_no_package_is_asked_for_in_vain() -> None:
    import_names = {"pillow": "PIL", "faiss-cpu": "faiss", "pyyaml": "yaml", "pillow-heif": "pillow_heif"}
    needed_by_others = {"onnx", "onnxscript"}  # torch's exporter imports them
    used = {name.split(".")[0] for _, tree in modules() for name in imported(tree)}
    extras = PROJECT["optional-dependencies"]
    asked = [Requirement(line).name for line in PROJECT["dependencies"] + extras["train"] + extras["heif"]]
    names = {name: import_names.get(name, name) for name in asked if name not in needed_by_others}
    assert [name for name, module in names.items() if module not in used] == []


def test_all_means_every_extra_for_users() -> None:
    extras = PROJECT["optional-dependencies"]
    (line,) = extras["all"]
    assert Requirement(line).extras == set(extras) - {"all", "dev"}


def tool(*arguments: str) -> str:
    """What a command of tools/ prints."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_picture_of_the_rooms_is_of_todays_imports() -> None:
    tool("tools/rooms.py", "docs/images/rooms.svg", "--check")


def test_no_module_imports_itself_in_a_circle() -> None:
    lines = [line.split(maxsplit=1) for line in tool("tools/shape.py").splitlines()]
    figures = {title: int(number.replace(",", "")) for number, title in lines}
    assert figures["import circles"] == 0
    assert figures["files that name the training config"] <= 6  # five of learn, and the door for own methods

"""The shape of the house in figures: how many places a method and a source touch, who names the training config, how
long functions are, which modules import each other in a circle, which tests reach into private parts.

    python tools/shape.py [FOLDER] [--names]

FOLDER is a checkout (default: this one), so that two commits can be compared; `--names` lists what is counted.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import grimp
from grimp import ImportGraph

LONG = 60  # lines of a function
# Names that mean nothing else: what is counted for them is counted for any.
METHOD, SOURCE = "mecoq", "parquet"
_BEFORE = (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING)  # a statement
_BETWEEN = (tokenize.NL, tokenize.COMMENT)


def main() -> None:
    """Prints a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--names", action="store_true")
    given = parser.parse_args()
    for title, found in figures(given.folder.resolve()).items():
        number = found if isinstance(found, int) else len(found)
        print(f"{number:>7,}  {title}")
        if given.names and not isinstance(found, int):
            print("".join(f"         {each}\n" for each in found), end="")


def figures(root: Path) -> dict[str, int | list[str]]:
    """Each figure by its name: a number, or the places that are counted."""
    product = sorted((root / "sightbook").rglob("*.py"))
    tests = sorted((root / "tests").rglob("*.py"))
    return {
        "lines of the product": sum(len(path.read_text().splitlines()) for path in product),
        f"files that name the method {METHOD}": naming(root, product, METHOD),
        f"files that name the source {SOURCE}": naming(root, product, SOURCE),
        "files that name the training config": naming(root, product, "TrainConfig"),
        f"functions over {LONG} lines": [each for path in product for each in long_functions(root, path)],
        "files over 300 lines": [
            f"{path.relative_to(root)} {size}"
            for path in product
            if (size := len(path.read_text().splitlines())) > 300
        ],
        "import circles": circles(root),
        "lines of tests that reach into private parts": [
            each for path in tests for each in private(root, path)
        ],
    }


def naming(root: Path, paths: list[Path], name: str) -> list[str]:
    """Files whose code, without comments and docstrings, has the name as a word or in a text."""
    word = re.compile(rf"(?<![a-z]){name}(?![a-z])", re.IGNORECASE)
    return [
        str(path.relative_to(root))
        for path in paths
        if any(word.search(token) for token in code_tokens(path))
    ]


def code_tokens(path: Path) -> Iterator[str]:
    """Tokens that are neither comments nor docstrings."""
    with path.open("rb") as file:
        begins = True  # a statement that is nothing but a text is documentation
        for token in tokenize.tokenize(file.readline):
            if token.type in _BEFORE:
                begins = True
            elif token.type not in _BETWEEN:
                if not (begins and token.type == tokenize.STRING):
                    yield token.string
                begins = False


def long_functions(root: Path, path: Path) -> Iterator[str]:
    """Functions of more than LONG lines, from `def` to the end; a docstring does not count."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            told = ast.get_docstring(node, clean=False)
            size = node.end_lineno - node.lineno + 1 - (len(told.splitlines()) if told else 0)  # type: ignore[operator]
            if size > LONG:
                yield f"{path.relative_to(root)}:{node.lineno} {node.name} {size}"


def circles(root: Path) -> list[str]:
    """Sets of modules that import each other, wherever in a file; for types alone does not count."""
    sys.path.insert(0, str(root))
    graph = grimp.build_graph("sightbook", exclude_type_checking_imports=True, cache_dir=None)
    return [" ↔ ".join(sorted(each)) for each in strongly_connected(graph) if len(each) > 1]


def strongly_connected(graph: ImportGraph) -> Iterator[set[str]]:
    """Largest sets of modules that reach one another."""
    left = set(graph.modules)
    while left:
        module = left.pop()
        both = graph.find_upstream_modules(module) & graph.find_downstream_modules(module)
        left -= both
        yield {module} | both


def private(root: Path, path: Path) -> Iterator[str]:
    """Lines of a test that use a name with a leading underscore of something else than itself."""
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Attribute) and not (
            isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        ):
            names = [node.attr]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sightbook"):
            names = [each.name for each in node.names]
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "setattr"
        ):
            texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
            names = [text.rpartition(".")[2] for text in texts if isinstance(text, str)]
        for name in names:
            if name.startswith("_") and not name.startswith("__"):
                yield f"{path.relative_to(root)}:{node.lineno} {name}"


if __name__ == "__main__":
    main()

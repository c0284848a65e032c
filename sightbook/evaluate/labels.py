"""The labels CSV: what people know of the pictures, for evaluation alone.

Columns: `file` (the picture's path within the data folder), `label` (one class) or `labels` (several, separated by
`;`), and any others, of which one can name junk. A file is found by its path, else by its name when only one picture
has it: lists are often written without the folders.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sightbook.errors import ConfigError, SourceError


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the CSV."""

    file: str
    labels: tuple[str, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_labels(path: Path, junk: str | None = None) -> list[Row]:
    """The rows of a labels CSV (UTF-8, comma, header). `junk` names a column that must be there.

    Raises SourceError when the file is absent or no text, ConfigError when columns are missing or there are no rows.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SourceError(f"the labels file {path} does not exist: check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(
            f"the labels file {path} cannot be read as UTF-8 text ({error}): give a CSV file"
        ) from None
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), restval="")
        columns = [name.strip() for name in reader.fieldnames or []]
        reader.fieldnames = columns
        _check_columns(path, columns, junk)
        plural = "label" not in columns
        rows = []
        for line in reader:
            cell = line["labels" if plural else "label"]
            names = [name.strip() for name in (cell.split(";") if plural else [cell])]
            metadata = {key: value.strip() for key, value in line.items() if isinstance(key, str)}
            rows.append(Row(metadata["file"], tuple(sorted({name for name in names if name})), metadata))
    except csv.Error as error:
        raise SourceError(
            f"the labels file {path} is damaged at line {reader.line_num} ({error}): repair it"
        ) from None
    if not rows:
        raise ConfigError(f"the labels file {path} has no rows: it needs one for each picture")
    return rows


def _check_columns(path: Path, columns: Sequence[str], junk: str | None) -> None:
    has = ", ".join(columns) or "nothing"
    if "file" not in columns:
        raise ConfigError(
            f"the labels file {path} has no column 'file' (it has {has}): name the pictures in it"
        )
    if "label" not in columns and "labels" not in columns:
        raise ConfigError(
            f"the labels file {path} has neither a column 'label' nor 'labels' (it has {has}): add the classes"
        )
    if junk is not None and junk not in columns:
        raise ConfigError(
            f"the labels file {path} has no column {junk!r} for the junk rule: choose among {has}"
        )


def match(
    rows: Sequence[Row], names: Sequence[Sequence[str]], path: Path
) -> tuple[list[Row | None], list[str]]:
    """The row of each picture (None: it has none), and the files of rows that no picture answers to.

    names[i] are the paths that picture i goes by, the most exact first. Raises ConfigError when a row could mean
    several pictures or two rows with different content mean one.
    """
    levels: list[dict[str, list[int]]] = []
    for i, known_as in enumerate(names):
        for level, name in enumerate((*known_as, known_as[-1].rpartition("/")[2])):
            while len(levels) <= level:
                levels.append({})
            levels[level].setdefault(_plain(name), []).append(i)
    found: list[Row | None] = [None] * len(names)
    absent = []
    for row in rows:
        name = _plain(row.file)
        pictures = next((level[name] for level in levels if name in level), [])
        if not pictures:
            absent.append(row.file)
            continue
        if len(pictures) > 1:
            raise ConfigError(
                f"{row.file!r} in {path} could mean {len(pictures)} pictures, such as {names[pictures[0]][0]!r} and "
                f"{names[pictures[1]][0]!r}: write their paths within the folder"
            )
        before = found[pictures[0]]
        if before is not None and (before.labels, before.metadata) != (row.labels, row.metadata):
            raise ConfigError(f"{row.file!r} stands twice in {path} with different content: keep one row")
        found[pictures[0]] = row
    return found, absent


def _plain(name: str) -> str:
    """One spelling of a path: slashes forward, no leading ./, composed characters."""
    return unicodedata.normalize("NFC", name.replace("\\", "/")).removeprefix("./")

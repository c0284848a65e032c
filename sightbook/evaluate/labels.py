"""The labels CSV: what people know of the pictures, for evaluation alone.

Columns: `file` (the picture's path within the data folder; `file_name`, `filename`, `path` and `image` are taken, too),
`label` (one class) or `labels` (several, separated by `;`), and any others, of which one can name junk. Columns are
separated by commas, semicolons or tabs; the text is UTF-8, or UTF-16 as spreadsheets write it. A file is found by its
path, else by its name when only one picture has it: lists are often written without the folders. Absolute paths are
those of the data, or of another place where the same folder lay.
"""

from __future__ import annotations

import codecs
import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sightbook.errors import ConfigError, SourceError
from sightbook.images.label import LABEL_COLUMNS, is_none

_FILES = ("file", "file_name", "filename", "path", "image")
_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the CSV."""

    file: str
    labels: tuple[str, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_labels(path: Path, junk: str | None = None, column: str | None = None) -> list[Row]:
    """The rows of a labels CSV. `junk` and `column` (of the labels) name columns that must be there.

    Raises SourceError when the file is absent or no text, ConfigError when columns are missing or there are no rows.
    """
    text = _text(path)
    try:
        text, delimiter = _separated(text)
        reader = csv.DictReader(
            io.StringIO(text, newline=""),
            restval="",
            delimiter=delimiter,
            skipinitialspace=delimiter != "\t",
            strict=True,  # else a quote that is not closed would swallow the rows behind it
        )
        columns = [name.strip() for name in reader.fieldnames or []]
        file, labels = _columns(path, columns, junk, column)
        reader.fieldnames = columns
        rows = []
        for line in reader:
            if any(cell.strip() for cell in line.pop(None, ())):
                raise ConfigError(
                    f"line {reader.line_num} of the labels file {path} has more cells than there are columns: put text "
                    f"that holds a {delimiter!r} in quotes"
                )
            cell = unicodedata.normalize("NFC", line[labels])
            names = [name.strip() for name in (cell.split(";") if labels == "labels" else [cell])]
            metadata = {key: value.strip() for key, value in line.items()}
            found = tuple(sorted({name for name in names if not is_none(name)}))
            rows.append(Row(metadata[file], found, metadata))
    except csv.Error as error:
        raise SourceError(
            f"the labels file {path} is damaged at line {reader.line_num} ({error}): repair it"
        ) from None
    if not rows:
        raise ConfigError(f"the labels file {path} has no rows: it needs one for each picture")
    return rows


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return data.decode("utf-16")
        if 0 in data[:2]:  # UTF-16 without its mark: the header is ASCII
            return data.decode("utf-16-le" if data[0] else "utf-16-be")
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise SourceError(f"the labels file {path} does not exist: check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(
            f"the labels file {path} cannot be read as UTF-8 text ({error}): save it as CSV in UTF-8"
        ) from None


def _separated(text: str) -> tuple[str, str]:
    """The text from its first row on, and what separates its columns: what a line `sep=;` of a spreadsheet says, which
    is no row, else what the names of the columns are most separated by."""
    text = text.lstrip("\r\n")
    header, _, rest = text.partition("\n")
    if header.lower().startswith("sep=") and len(header.rstrip("\r")) == len("sep=;"):
        return rest, header[4]
    return text, max(_DELIMITERS, key=header.count)


def _columns(path: Path, columns: list[str], junk: str | None, column: str | None) -> tuple[str, str]:
    """The columns of files and of labels. Names that are looked for may be written in capitals: `columns` is mended."""
    has = ", ".join(columns) or "nothing"
    known = (*_FILES, *LABEL_COLUMNS)
    for place, name in enumerate(columns):
        if name.lower() in known and name.lower() not in columns and name not in (junk, column):
            columns[place] = name.lower()
    file = next((name for name in _FILES if name in columns), None)
    if file is None:
        raise ConfigError(
            f"the labels file {path} has no column 'file' (it has {has}): name the pictures in it"
        )
    if column is not None and column not in columns:
        raise ConfigError(f"the labels file {path} has no column {column!r} of labels: choose among {has}")
    labels = column or next((name for name in LABEL_COLUMNS if name in columns), None)
    if labels is None:
        raise ConfigError(
            f"the labels file {path} has neither a column 'label' nor 'labels' (it has {has}): add the classes, or "
            "choose a column by --label-column"
        )
    if junk is not None and junk not in columns:
        raise ConfigError(
            f"the labels file {path} has no column {junk!r} for the junk rule: choose among {has}"
        )
    twice = next((name for name in (file, labels, junk) if columns.count(name or "") > 1), None)
    if twice is not None:
        raise ConfigError(
            f"the labels file {path} has two columns {twice!r}: rename the one that is not meant"
        )
    return file, labels


def within(rows: Sequence[Row], names: Sequence[Sequence[str]], places: Sequence[Path]) -> list[Row]:
    """The rows with absolute paths as paths within the data. places: where the data lie now. A list that was written
    elsewhere had one folder in the place of the data's: that under which most rows are pictures."""
    if not any(_is_absolute(row.file) for row in rows):
        return list(rows)
    known = {_plain(name) for some in names for name in some}
    roots = [
        f"{_plain(str(form)).rstrip('/')}/"
        for place in places
        for form in (place.absolute(), place.resolve())
    ]
    absolute = [path for row in rows if _is_absolute(path := _plain(row.file))]
    if not any(path.startswith(tuple(roots)) for path in absolute):
        counts: Counter[str] = Counter()
        for path in absolute:
            parts = path.split("/")
            counts.update(
                "/".join(parts[:i]) + "/" for i in range(1, len(parts)) if "/".join(parts[i:]) in known
            )
        if counts:
            roots.append(max(counts, key=lambda root: (counts[root], -len(root))))
    return [replace(row, file=_under(_plain(row.file), roots)) for row in rows]


def _under(path: str, roots: Sequence[str]) -> str:
    return next((path[len(root) :] for root in roots if path.startswith(root)), path)


def _is_absolute(path: str) -> bool:
    return path.startswith(("/", "\\")) or path[1:3] in (":/", ":\\")


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
            raise ConfigError(
                f"{row.file!r} stands twice in {path} with different content: keep one row, with several labels in a "
                "column `labels`, separated by ;"
            )
        found[pictures[0]] = row
    return found, absent


def _plain(name: str) -> str:
    """One spelling of a path: slashes forward, no leading ./, composed characters."""
    return unicodedata.normalize("NFC", name.replace("\\", "/")).removeprefix("./")

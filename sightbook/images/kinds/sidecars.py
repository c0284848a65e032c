"""Label files beside the pictures of an archive, as WebDataset has them: `a.cls` and `a.json` tell of `a.jpg`."""

from __future__ import annotations

import json
from collections.abc import Iterable

from sightbook.images.label import LABEL_COLUMNS, Label, label_of, label_of_text
from sightbook.images.names import escape
from sightbook.words import counted

SIDECAR_BYTES = 1 << 20  # anything larger is something else
_MOST_COLUMNS = 100


def is_sidecar_name(name: str) -> bool:
    """Whether a file so called may hold the label of a picture."""
    return name.lower().endswith((".cls", ".json"))


def read_sidecar(name: str, content: bytes, column: str | None, columns: dict[str, None]) -> Label:
    """The label in a `.cls` or `.json` beside a picture; None when there is none that can be read. `columns` learns the
    keys of JSON files. column: the key that is asked for."""
    try:
        text = content.decode("utf-8-sig").strip()
        if not name.lower().endswith(".json"):
            return label_of_text(text) if column is None else None
        document = json.loads(text)
    except (UnicodeDecodeError, ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    if len(columns) < _MOST_COLUMNS:
        columns.update(dict.fromkeys(document))
    keys = LABEL_COLUMNS if column is None else (column,)
    return next((label for key in keys if (label := label_of(document.get(key))) is not None), None)


def match_sidecars(members: Iterable[str], sidecars: dict[str, Label]) -> tuple[dict[str, Label], list[str]]:
    """The label of each picture, from the file of the same name but for the last suffix (`img.v1.0.cls` is that of
    `img.v1.0.jpg`), else of the longest beginning of it that ends at a dot (WebDataset: `a.cls` is that of
    `a.seg.png`); and a word where one file serves several pictures."""
    labels: dict[str, Label] = {}
    serves: dict[str, list[str]] = {}
    if not sidecars:
        return labels, []
    for path in members:
        folder, slash, name = path.rpartition("/")
        stem = name
        while stem:
            label = sidecars.get(folder + slash + stem)
            if label is not None:
                labels[path] = label
                serves.setdefault(folder + slash + stem, []).append(path)
                break
            stem = stem.rpartition(".")[0]
    shared = {stem: paths for stem, paths in serves.items() if len(paths) > 1}
    if not shared:
        return labels, []
    stem, paths = next(iter(shared.items()))
    some = ", ".join(escape(path) for path in paths[:3]) + (" …" if len(paths) > 3 else "")
    several = len(shared) > 1
    return labels, [
        f"{counted(len(shared), 'label file')} of the tar file {'serve' if several else 'serves'} several pictures"
        f"{' each' if several else ''}, such as that of {escape(stem)}: {some}"
    ]

"""Labels, for evaluation alone: what a value in a label column, a sidecar or a CSV says.

No label is what people and programs write where they have none: nothing, `null`, not a number, and -1, which is the
hub's convention. As text: the empty one, `-1`, `nan`, `null` and `<NA>`, in capitals or not. Words such as `none` or
`unknown` are classes of somebody's and stay. Composed and decomposed letters are the same.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable

Label = str | int | tuple[str | int, ...] | None

_NONE = frozenset(("", "-1", "-1.0", "nan", "null", "<na>"))
# Where a label is looked for when nobody says where.
LABEL_COLUMNS = ("label", "labels")


def is_none(text: str) -> bool:
    """Whether a text says that there is no label."""
    return text.strip().lower() in _NONE


def label_of(value: object) -> Label:
    """A value of a label column: text, a whole number, `true` or `false`, several of these; None: no label."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return None if value == -1 else value
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return label_of(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, str):
        return None if is_none(value) else unicodedata.normalize("NFC", value.strip())
    if isinstance(value, bytes):
        return label_of(value.decode("utf-8", "replace"))
    if isinstance(value, list | tuple):
        return _several(value)
    return None


def label_of_text(text: str) -> Label:
    """A label written as text: `7` is the number, `007` too."""
    text = unicodedata.normalize("NFC", text.strip())
    if is_none(text):
        return None
    return int(text) if text.removeprefix("-").isdecimal() else text


def parts(label: Label) -> tuple[str | int, ...]:
    """The labels in it: none, one or several."""
    if label is None:
        return ()
    return label if isinstance(label, tuple) else (label,)


def _several(values: Iterable[object]) -> Label:
    found = dict.fromkeys(one for value in values for one in parts(label_of(value)))
    return tuple(found) or None

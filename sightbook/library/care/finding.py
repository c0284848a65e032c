"""What `check` says of one thing it looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "repaired", "note", "broken"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. repaired: it was wrong and is right now; note: worth knowing, no fault of the library;
    broken: what must be done stands in the text."""

    what: str
    verdict: Verdict
    text: str

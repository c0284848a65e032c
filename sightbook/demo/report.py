"""What the demo found and where it lies: plain values, and the text that the command prints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sightbook.errors import typed


@dataclass(frozen=True, slots=True)
class Few:
    """The same measure on a part of the drawn pictures: the trained network beside the built-in one."""

    pictures: int
    queries: int
    map: float
    map_builtin: float
    map_thumbnail: float | None
    map_random: float | None


@dataclass(frozen=True, slots=True)
class DemoReport:
    """Figures are shares of 1; `map_*` need labels, None without. verdict: the sentence that training ended with.

    random, thumbnail (colour thumbnails at as many bits), untrained (the network before training) are the same
    measure, same pictures.
    """

    folder: Path
    pictures: int
    drawn: bool
    model: Path
    library: Path
    sheet: Path
    bits: int
    seconds: float
    seconds_training: float
    verdict: str
    ap_definition: str | None = None
    R: int | None = None
    queries: int | None = None
    map: float | None = None
    map_untrained: float | None = None
    map_thumbnail: float | None = None
    map_random: float | None = None
    few: Few | None = None

    def to_json(self) -> dict[str, Any]:
        """All fields as plain types."""
        return {
            name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()
        }

    def text(self) -> str:
        """The report for people, ending with what to try next."""
        what = "drawn pictures of twelve kinds" if self.drawn else "pictures"
        lines = [
            f"Learned from {self.pictures:,} {what} for {self.seconds_training:.0f} s, without one label; "
            f"{self.seconds:.0f} s in all.",
            "",
            *(self._ranking() if self.map is not None else [self.verdict]),
            "",
            f"Look at:  {self.sheet}",
            f"Model:    {self.model}",
            f"Library:  {self.library}",
            "",
            *self._next(),
        ]
        return "\n".join(lines)

    def _ranking(self) -> list[str]:
        kind = "kind" if self.drawn else "label"
        rows = [
            ("random order", self.map_random),
            ("colour thumbnails", self.map_thumbnail),
            ("untrained network", self.map_untrained),
            ("trained network", self.map),
        ]
        return [
            f"Do the answers show the query's {kind}? mAP@{self.R}, {self.queries:,} queries, {self.bits}-bit codes; "
            "1 is perfect.",
            *(_bar(name, value) for name, value in rows if value is not None),
            *_plainly(self.map, [value for _, value in rows[:-1]]),
            *([] if self.few is None else self._beside(self.few)),
        ]

    def _beside(self, few: Few) -> list[str]:
        rows = [
            ("random order", few.map_random),
            ("colour thumbnails", few.map_thumbnail),
            ("built-in network", few.map_builtin),
            ("trained network", few.map),
        ]
        return [
            "",
            f"On {few.pictures:,} of them, {few.queries:,} queries, beside the built-in network, which others "
            "trained on photos, with labels:",
            *(_bar(name, value) for name, value in rows if value is not None),
        ]

    def _next(self) -> list[str]:
        if self.drawn:
            return [
                "Next, with your own pictures:",
                "  sightbook add my-library photos/",
                "  sightbook search my-library photo.jpg --sheet answers.png",
            ]
        return [
            "Next:",
            f"  sightbook search {typed(self.library)} PICTURE --sheet answers.png",
            f"  sightbook status {typed(self.library)}",
        ]


_BAR = 40


def _bar(name: str, value: float) -> str:
    return f"  {name:18} {value:.3f} {'#' * round(_BAR * value)}".rstrip()


def _plainly(trained: float | None, others: list[float | None]) -> list[str]:
    if trained is None or all(value is None or trained > value for value in others):
        return []
    return [
        "Learning did not help here: something simpler is as good. It was too short, or these pictures are too few or "
        "too much alike."
    ]

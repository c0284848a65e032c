"""What the demo found and where it lies: plain values, and the text that the command prints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightbook.errors import typed


@dataclass(frozen=True, slots=True)
class Report:
    """Figures are shares of 1; `map_*` need labels, None without. recall_at_1: view → picture, through the codes.

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
    recall_at_1: float
    recall_at_1_untrained: float
    ap_definition: str | None = None
    R: int | None = None
    queries: int | None = None
    map: float | None = None
    map_untrained: float | None = None
    map_thumbnail: float | None = None
    map_random: float | None = None

    def to_json(self) -> dict[str, Any]:
        """All fields as plain types."""
        return {
            name: str(value) if isinstance(value, Path) else value
            for name, value in ((name, getattr(self, name)) for name in self.__slots__)
        }

    def text(self) -> str:
        """The report for people, ending with what to try next."""
        what = "drawn pictures of twelve kinds" if self.drawn else "pictures"
        lines = [
            f"Learned from {self.pictures:,} {what} for {self.seconds_training:.0f} s, without one label; "
            f"{self.seconds:.0f} s in all.",
            "",
            *(self._ranking() if self.map is not None else self._views()),
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
            *_plainly(self.map, self.map_untrained),
        ]

    def _views(self) -> list[str]:
        return [
            "Does a random view of a picture find that picture first? Share of the held-out pictures, by their codes.",
            _bar("untrained network", self.recall_at_1_untrained),
            _bar("trained network", self.recall_at_1),
            *_plainly(self.recall_at_1, self.recall_at_1_untrained),
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
            f"  sightbook status {self.library}",
            "and for better answers a longer training: sightbook train SOURCE --out my-model --minutes 30",
        ]


_BAR = 40


def _bar(name: str, value: float) -> str:
    return f"  {name:18} {value:.3f} {'#' * round(_BAR * value)}".rstrip()


def _plainly(trained: float | None, untrained: float | None) -> list[str]:
    if trained is None or untrained is None or trained > untrained:
        return []
    return ["Training did not help here: it was too short, or these pictures are too few or too much alike."]

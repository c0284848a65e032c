"""The verdict that training ends with: the learned codes beside what they must be better than, by `halves`.

Data flow: some pictures of the collection → `halves.cut` → encoders by name, the learned codes first → `Judged` →
config.json (`verdict.halves`) and a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightbook.learn import halves
from sightbook.learn.halves import Encoder, Pixels, Share
from sightbook.model import builtin
from sightbook.model.graph import Graph

FEWEST = 3  # pictures that have neighbours to speak of
LEARNED, BEFORE, THUMBNAILS, BUILTIN = "learned", "before", "thumbnails", "builtin"
_NAMES = {THUMBNAILS: "colour thumbnails", BUILTIN: "the built-in network"}
_SWITCH = "`sightbook add LIBRARY PICTURES` without --model goes by it"


@dataclass(frozen=True)
class Judged:
    """By name: `learned`, and beside it `before` (the untrained network, or a network's features as they are),
    `thumbnails`, `builtin`. gains: the middle 95 % of the learned share minus that of each other."""

    pictures: int
    shares: Mapping[str, Share]
    gains: Mapping[str, tuple[float, float]]

    @property
    def helped(self) -> bool | None:
        """Whether learning made codes better than what was there before; None where that cannot be told."""
        low, high = self.gains[BEFORE]
        if self.pictures < halves.LEAST or low <= 0 <= high:
            return None
        return low > 0

    @property
    def beaten_by(self) -> list[str]:
        """What is better than the learned codes, for certain."""
        return [name for name, (_, high) in self.gains.items() if high < 0 and name != BEFORE]

    def lead(self, doing: str) -> str:
        """The verdict in a few words. doing: Training or Learning."""
        if self.pictures >= halves.LEAST and THUMBNAILS in self.beaten_by:
            return f"{doing} did not help enough: colour thumbnails are better"
        low, high = self.gains.get(THUMBNAILS, (1.0, 1.0))
        alike = self.helped and low <= 0 <= high
        return lead(doing, self.helped, self.pictures) + (
            ", but colour thumbnails may be as good" if alike else ""
        )

    def facts(self, bits: int, before: str) -> str:
        """The figures in words. before: what stands under that name."""
        learned = self.shares[LEARNED]
        others = ", ".join(
            f"{_NAMES.get(name, before)} {share.mean:.0%}"
            for name, share in self.shares.items()
            if name != LEARNED
        )
        k = halves.nearest_of(self.pictures)
        return (
            f"through {bits}-bit codes the two halves of a picture, each in colours of its own, agree on "
            f"{learned.mean:.0%} ({learned.low:.0%} to {learned.high:.0%}) of its {k} nearest among {self.pictures} "
            f"pictures ({others}, random order {learned.chance:.0%})"
        )

    @property
    def advice(self) -> str:
        """What to do when something that is at hand is better; empty where nothing is."""
        if BUILTIN in self.beaten_by:
            return f" The built-in network knows these pictures better: {_SWITCH}."
        return ""

    def to_json(self) -> dict[str, Any]:
        """Plain types, as in config.json."""
        return {
            "pictures": self.pictures,
            "shares": {
                name: {key: round(value, 4) for key, value in asdict(share).items()}
                for name, share in self.shares.items()
            },
            "gains": {name: [round(low, 4), round(high, 4)] for name, (low, high) in self.gains.items()},
        }

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Judged:
        """What `to_json` gave."""
        shares = {name: Share(**share) for name, share in facts["shares"].items()}
        gains = {name: (gain[0], gain[1]) for name, gain in facts["gains"].items()}
        return cls(facts["pictures"], shares, gains)


def raised(now: float, before: float, pictures: int) -> bool | None:
    """Whether a mean over pictures, of values in 0..1, went up (True) or down; None where that cannot be told.

    A value in 0..1 with the mean p varies by no more than √(p(1 − p)), so the interval holds for whatever it is, 95 %.
    """
    if pictures < halves.LEAST:
        return None
    margin = 1.96 * ((now * (1 - now) + before * (1 - before)) / pictures) ** 0.5
    return None if abs(now - before) <= margin else now > before


def lead(doing: str, helped: bool | None, pictures: int) -> str:
    """A verdict in a few words, where nothing stands beside but what was there before. doing: Training or Learning."""
    if pictures < halves.LEAST:
        return f"Too few pictures to tell whether {doing.lower()} helped"
    if helped is None:
        return f"Whether {doing.lower()} helped cannot be told"
    return f"{doing} helped" if helped else f"{doing} did not help"


def agreements(pictures: Pixels, encoders: Mapping[str, Encoder]) -> dict[str, NDArray[np.float64]]:
    """Agreement (n,) of the halves of pictures (n, R, R, 3), by each encoder."""
    left, right = halves.cut(pictures)
    return {name: halves.agreement(encode(left), encode(right)) for name, encode in encoders.items()}


def judge(found: Mapping[str, NDArray[np.float64]]) -> Judged | None:
    """The verdict on agreements by name; None for fewer than three pictures."""
    learned = found[LEARNED]
    if len(learned) < FEWEST:
        return None
    shares = {name: halves.share(each) for name, each in found.items()}
    gains = {name: halves.compare(learned, each) for name, each in found.items() if name != LEARNED}
    return Judged(len(learned), shares, gains)


def beside(*, network: bool = True) -> dict[str, Encoder]:
    """What every verdict is held against: colour thumbnails and, with `network`, the built-in network's features."""
    found: dict[str, Encoder] = {THUMBNAILS: halves.thumbnails}
    if network:
        known = builtin.read()
        graph = Graph(known.encoder)
        found[BUILTIN] = halves.by_floats(
            lambda pixels: graph.run(["features"], halves.resize(pixels, known.frame.size))[0]
        )
    return found

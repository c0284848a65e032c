"""Label-free rankings that every model is measured against, on the same pictures and queries.

A baseline is one function from the `Reading` to a `Baseline`, or to None when the pictures do not allow it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sightbook.evaluate.ranking import Ranker, code_ranker, float_ranker
from sightbook.evaluate.reading import Reading
from sightbook.evaluate.thumbnails import quantize


@dataclass(frozen=True)
class Baseline:
    """A ranking, the symmetric one where there are codes, and the bits of a code."""

    ranker: Ranker
    symmetric: Ranker | None = None
    bits: int | None = None


def exact_float(reading: Reading, bits: int) -> Baseline | None:
    """The very embeddings the codes are made of, not quantized: what quantization costs stands between the two."""
    main = reading.seen[0]
    assert main.database_x is not None, "the first model keeps the embeddings of the database"
    return Baseline(float_ranker(main.x, main.database_x, main.metric))


def thumbnail(reading: Reading, bits: int) -> Baseline | None:
    """Colour thumbnails in codes of equal length: what needs no network at all."""
    made = quantize(reading.query_thumbnails, reading.thumbnails, bits)
    if made is None:
        return None
    return Baseline(
        code_ranker(made.tables, made.codes), code_ranker(made.symmetric_tables, made.codes), bits
    )


BASELINES: dict[str, Callable[[Reading, int], Baseline | None]] = {
    "float": exact_float,
    "thumbnail": thumbnail,
}
CHANCE = "random"  # by formula, not by a ranking

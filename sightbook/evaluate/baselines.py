"""Label-free rankings that a model is measured against, on the same pictures and queries.

A baseline is one function from the `Reading` to a `Baseline`; Unsuitable tells why the pictures do not allow it. Those
of CLASSIC know the backbone's features and nothing that was learned here: what codes cost without learning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sightbook.codes.tables import Floats
from sightbook.errors import ConfigError
from sightbook.evaluate import classic
from sightbook.evaluate.classic import Unsuitable
from sightbook.evaluate.ranking import Ranker, code_ranker, float_ranker
from sightbook.evaluate.reading import Reading
from sightbook.evaluate.thumbnails import quantize


@dataclass(frozen=True)
class Baseline:
    """A ranking, the symmetric one where there are codes, and the bits of a code."""

    ranker: Ranker
    symmetric: Ranker | None = None
    bits: int | None = None


def exact_float(reading: Reading, bits: int) -> Baseline:
    """The very embeddings the codes are made of, not quantized: what quantization costs stands between the two."""
    main = reading.seen[0]
    assert main.database_x is not None, "the first model keeps the embeddings of the database"
    return Baseline(float_ranker(main.x, main.database_x, main.metric))


def thumbnail(reading: Reading, bits: int) -> Baseline:
    """Colour thumbnails in codes of equal length: what needs no network at all."""
    if reading.query_thumbnails is None or reading.thumbnails is None:
        raise Unsuitable("vectors have no colours")
    return _of_codes(quantize(reading.query_thumbnails, reading.thumbnails, bits), bits)


def _of_codes(made: classic.Coded, bits: int) -> Baseline:
    return Baseline(
        code_ranker(made.tables, made.codes), code_ranker(made.symmetric_tables, made.codes), bits
    )


def _features(reading: Reading) -> tuple[Floats, Floats]:
    assert reading.query_features is not None and reading.features is not None, "they were not asked for"
    return reading.query_features, reading.features


def features(reading: Reading, bits: int) -> Baseline:
    """Cosine of the backbone's features."""
    asked, stored = _features(reading)
    return Baseline(float_ranker(classic.unit(asked), classic.unit(stored)))


def features_pca(reading: Reading, bits: int) -> Baseline:
    """Cosine of the features' whitened principal components: what floats reach without learning."""
    asked, stored = classic.whitened(*_features(reading))
    return Baseline(float_ranker(asked, stored))


def _coded(learn: Callable[[Floats, Floats, int], classic.Coded]) -> Callable[[Reading, int], Baseline]:
    return lambda reading, bits: _of_codes(learn(*_features(reading), bits), bits)


Make = Callable[[Reading, int], Baseline]
# These need the backbone's features, which are not read unless one of them is asked for.
CLASSIC: dict[str, Make] = {
    "features": features,
    "features-pca": features_pca,
    "lsh": _coded(classic.lsh),
    "pca-sign": _coded(classic.pca_sign),
    "itq": _coded(classic.itq),
    "pq": _coded(classic.pq),
    "opq": _coded(classic.opq),
}
BASELINES: dict[str, Make] = {
    "float": exact_float,
    "thumbnail": thumbnail,
    **CLASSIC,
}
CHANCE = "random"  # by formula, not by a ranking
USUAL = ("float", "thumbnail", CHANCE)


def named(names: Iterable[str]) -> tuple[str, ...]:
    """The baselines of these names, each once, all of them for `all`. ConfigError for a name that is none of them."""
    known, names = (*BASELINES, CHANCE), tuple(dict.fromkeys(names))
    for name in names:
        if name not in (*known, "all"):
            raise ConfigError(f"unknown baseline {name!r}: use any of {', '.join(known)}")
    return known if "all" in names else names

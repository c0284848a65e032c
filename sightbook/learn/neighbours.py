"""Method neighbours without torch: what it says of a model, and `train` on vectors that were made elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sightbook.describe.learn import AGREEMENT
from sightbook.errors import ConfigError
from sightbook.images.entry import noun
from sightbook.images.sources import open_sources
from sightbook.images.vectors import read_vectors
from sightbook.learn.judged import Judged, lead, raised
from sightbook.learn.report import TrainReport
from sightbook.model.config import ModelConfig
from sightbook.model.fit import METHOD, fit_vectors
from sightbook.words import counted

_SUFFIXES = (".npy", ".parquet")


def hold_vectors(sources: Sequence[str]) -> bool:
    """Whether all of them are files of vectors. SourceError when one that may be is not there."""
    if not all(source.lower().endswith(_SUFFIXES) for source in sources):
        return False
    return all(source.of_kind.of_vectors for source in open_sources(sources))


def learn_vectors(
    sources: Sequence[str],
    folder: Path,
    version: str,
    *,
    bits: int,
    method: str | None,
    given: Mapping[str, bool],
) -> TrainReport:
    """Writes the MODEL folder of vectors. given: by option, whether it was asked for; ConfigError for one that was, and
    for another method than neighbours."""
    if method not in (None, METHOD):
        raise ConfigError(f"method {method} learns from pictures: vectors need --method {METHOD}, or none")
    foreign = [option for option, asked in given.items() if asked]
    if foreign:
        raise ConfigError(
            f"{', '.join(foreign)} would do nothing: vectors are learned from in closed form, by method {METHOD}, "
            "which takes --bits only; leave it out"
        )
    fit_vectors(read_vectors(sources), folder, bits, version)
    opened = open_sources(sources)
    for _ in opened.entries():  # what was left out is known after a walk
        pass
    model = ModelConfig.read(folder)
    return TrainReport.of(folder, model, sentence(model), opened.left_out)


def sentence(model: ModelConfig) -> str:
    """What a user should know, in plain words."""
    trained, verdict = model.trained, model.verdict
    things, features = noun(model.frame is None), "numbers" if model.frame is None else "network's features"
    as_they_are = "numbers" if model.frame is None else "features"
    learned = (
        f"{model.bits}-bit codes were learned in {trained['seconds']:.0f} s from the neighbourhoods of "
        f"{counted(trained['distinct'], f'different {things[:-1]}')}"
    )
    if verdict.get("halves") is not None:
        halves = Judged.of(verdict["halves"])
        beside = "the network's features as they are"
        return f"{halves.lead('Learning')}: {learned}; {halves.facts(model.bits, beside)}.{halves.advice}"
    if verdict.get("agreement") is None:
        return f"{learned}: too few to judge them without labels."
    now, before = verdict["agreement"], verdict["before"]
    judged = min(trained["pictures"], AGREEMENT)
    return (
        f"{lead('Learning', raised(now, before, judged), judged)}: {learned}; two descriptions of different halves "
        f"of the {features} agree on {now:.0%} of a {things[:-1]}'s ten nearest, the {as_they_are} as they are on "
        f"{before:.0%}."
    )

"""Method neighbours on pictures: a network that is not trained sees each picture once, all the rest is closed form.

Data flow: network (`frozen`) → encoder.onnx → `fixed.fill` (features of all pictures) → `model.fit`
(description, codebooks) → verdict → MODEL folder; config.json last. With the built-in network no torch is needed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np

from sightbook.allocator import TRAINING, keep_freed_memory
from sightbook.describe.learn import Strength
from sightbook.describe.vectors import halved
from sightbook.errors import ConfigError, SourceError
from sightbook.images.entry import Entry
from sightbook.images.load.pool import Failed, Loaded, load
from sightbook.learn import fixed, halves, judged
from sightbook.learn.card import described_card
from sightbook.learn.fixed import Forward
from sightbook.learn.frozen import FrozenNetwork
from sightbook.learn.neighbours import sentence
from sightbook.learn.report import TrainReport
from sightbook.learn.settings.layers import Settings
from sightbook.learn.settings.presets import SMALL_UP_TO
from sightbook.learn.settings.sections import FeaturesConfig
from sightbook.learn.sitting import Sitting
from sightbook.learn.store import open_entries, refuse_none, tell_failures
from sightbook.model.builtin import BUILTIN
from sightbook.model.fit import Fitted, fit, verdict, write
from sightbook.progress import Notice
from sightbook.words import counted

ENCODER = "encoder.onnx"


def run_closed(
    sitting: Sitting,
    network: FrozenNetwork,
    *,
    bits: int,
    strength: Strength | None,
    seed: int,
    features: FeaturesConfig,
    settings: Settings,
) -> TrainReport:
    """Learns from pictures and writes the MODEL folder; features of an earlier sitting are used.

    settings: all of them, for the model's card.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("method neighbours needs one process only: leave torchrun out")
    keep_freed_memory(TRAINING)
    folder, listener = sitting.folder, sitting.listener
    opened, entries = open_entries(sitting.sources, sitting.only)
    refuse_none(sitting.sources, entries, [])
    listener(
        Notice(
            f"{network.name} (pretraining: {network.told}; licence: {network.licence}; none of it is trained) "
            f"sees {counted(len(entries), 'picture')} once, by "
            f"{'onnxruntime' if network.device == 'cpu' else network.device}"
        )
    )
    difference = network.write(folder / ENCODER)
    forward = network.forward(folder / ENCODER)
    made = fixed.fill(
        entries, network.frame, forward, network.features, network.digest,
        settings=features, work=sitting.work, jobs=sitting.jobs, listener=listener,
    )  # fmt: skip
    failures = [Failed(entry, reason) for entry, reason in made.failed]
    tell_failures(failures, sitting.work, listener)
    refuse_none(sitting.sources, entries, failures)
    listener(
        Notice(f"learning {bits}-bit codes from the neighbourhoods of {counted(made.pictures, 'picture')}")
    )
    fitted = fit(made.rows, bits, strength=strength, seed=seed)
    told = None
    if sitting.judge:
        listener(Notice("judging the codes, without labels, beside simpler things"))
        told = _judge(entries, network, forward, fitted, sitting.jobs)
    model = write(
        fitted,
        folder,
        sitting.version,
        frame=network.frame,
        mean=network.mean,
        std=network.std,
        pretraining=network.pretraining,
        network={"backbone": network.spec},
        trained=_facts(made, network, difference),
        verdict={**verdict(fitted), "halves": told},
        card=lambda done: described_card(done, settings),
    )
    made.discard()
    return TrainReport.of(folder, model, sentence(model), opened.left_out)


def _facts(made: fixed.Fixed, network: FrozenNetwork, difference: float) -> dict[str, Any]:
    """What was learned from and by what. difference: of the exported features from the original's."""
    return {
        "pictures": made.pictures,
        "failed": len(made.failed),
        "held_out": 0,
        "steps": 0,
        "device": network.device,
        "precision": "fp32",
        "onnx_difference": difference,
        **network.facts,
    }


def _judge(
    entries: Sequence[Entry], network: FrozenNetwork, forward: Forward, fitted: Fitted, jobs: int | None
) -> dict[str, Any] | None:
    """The verdict by halves of some pictures: the codes beside the features as they are, and simpler things. None for
    fewer than three, and for small ones: their halves are too small for a network that sees photos; and where a source
    has gone meanwhile: what was learned is not lost for that."""
    places = np.unique(
        np.linspace(0, len(entries) - 1, min(len(entries), halves.PICTURES)).round().astype(int)
    )
    given = load([entries[place] for place in places], network.frame, jobs=jobs)
    try:
        loaded = [item for item in given if isinstance(item, Loaded)]
    except SourceError:
        return None
    pixels = [item.pixels for item in loaded]
    if len(pixels) < judged.FEWEST or median(min(item.about[:2]) for item in loaded) <= SMALL_UP_TO:
        return None
    features = halves.once(forward)
    described = halves.by_codes(
        lambda half: fitted.description.apply(halved(features(half))), fitted.codebooks, fitted.metric
    )
    encoders = {
        judged.LEARNED: described,
        judged.BEFORE: halves.by_floats(features),
        **judged.beside(network=network.spec["kind"] != BUILTIN),
    }
    found = judged.judge(judged.agreements(np.stack(pixels), encoders))
    return None if found is None else found.to_json()

"""From features to a MODEL folder, without torch: description, codebooks, config; the encoder, where there is one,
stands in the folder already.

Data flow: features (N, F) → `describe.learn` → Description → x of a sample → `codes.products.clusterings` → codebooks.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightbook.arguments import described
from sightbook.codes.fine import STEPS, quantize
from sightbook.codes.oracle import score
from sightbook.codes.products import clusterings
from sightbook.codes.tables import Floats, Metric, assign, tables
from sightbook.describe.description import Description
from sightbook.describe.learn import SEED, Strength, learn, sample
from sightbook.describe.vectors import checked
from sightbook.errors import ConfigError
from sightbook.files import write_atomic
from sightbook.images.pixels.frame import Frame
from sightbook.model.config import FORMAT, ModelConfig
from sightbook.model.folder import write_codebooks, write_config, write_description
from sightbook.threads import own_cores

METHOD = "neighbours"
K = 256
_CLUSTERED = 1 << 16  # rows that k-means sees, at most: 256 for each codeword
_NESTED = (16, 32, 64)
_METRIC: Metric = "near-cosine"
# Fine codes: how much their products vary beside code scores, measured over so many pairs of pictures; more where a
# codeword was learned from fewer than so many, and is noise to pictures that come later (docs/log.md).
_SHARE, _TO_EACH, _MOST = 0.35, 6, 8
_ASKED, _STORED = 500, 5000


@dataclass(frozen=True)
class Fitted:
    """A description and codebooks (M, K, d) float32; facts: how they were learned, as plain types; fine: the constants
    of fine codes, limit and weight; None: the model has none."""

    description: Description
    codebooks: Floats
    facts: Mapping[str, Any]
    fine: Mapping[str, float] | None = None
    metric: Metric = _METRIC


def fit(features: Any, bits: int = 64, *, strength: Strength | None = None, seed: int = SEED) -> Fitted:
    """Features (N, F), any floats → description and codebooks of `bits` bits, M = bits / 8 clusterings of 256 each.

    strength and what is done about copies, outliers and many rows: `describe.learn`. ConfigError for bits that are no
    multiple of 8 from 16 to 128, and for vectors that cannot be learned from.
    """
    if bits % 8 or not 16 <= bits <= 128:
        raise ConfigError(
            f"{bits} bits cannot be made of codebooks of {K} codewords (8 bits each): give a multiple of 8 from 16 to "
            "128"
        )
    started = time.monotonic()
    rows = checked(features)
    with own_cores():
        learned = learn(rows, strength=strength, seed=seed)
        described = time.monotonic()
        x = learned.description.apply(sample(rows, _CLUSTERED, seed))
        codebooks = clusterings(x, bits // 8, K, seed)
        fine = _fine(x, learned.description, codebooks, share_of(learned.distinct), seed=seed)
    facts = {
        "pictures": len(rows),
        "looked_at": learned.rows,
        "distinct": learned.distinct,
        "strength": asdict(learned.strength),
        "agreement": {str(strength): round(share, 4) for strength, share in learned.agreement.items()},
        "agreement_before": None if learned.before is None else round(learned.before, 4),
        "seconds": round(time.monotonic() - started, 1),
        "seconds_description": round(described - started, 1),
        "seed": seed,
    }
    return Fitted(learned.description, codebooks, facts, fine)


def share_of(pictures: int) -> float:
    """How much the products of fine codes are to vary beside code scores that were learned from so many pictures."""
    return _SHARE * min(max(1.0, _TO_EACH * K / max(1, pictures)), _MOST)


def _fine(
    x: Floats, description: Description, codebooks: Floats, share: float, *, seed: int
) -> dict[str, float]:
    """The constants of fine codes: the largest number of a description, and the weight under which their products vary
    `share` as much, from picture to picture, as code scores do."""
    stored = sample(x, _STORED, seed)
    asked = sample(stored, _ASKED, seed)
    y = stored + description.middle
    limit = float(np.abs(y).max()) or 1.0
    codes = assign(stored, codebooks, _METRIC)
    scores = np.stack([score(table, codes) for table in tables(asked, codebooks, _METRIC)])
    products = (
        quantize(asked + description.middle, limit).astype(np.float32)
        @ quantize(y, limit).astype(np.float32).T
    )
    by_code = float(scores.std(axis=1, dtype=np.float64).mean())
    by_fine = float(products.std(axis=1, dtype=np.float64).mean()) * (limit / STEPS) ** 2
    return {"limit": limit, "weight": share * by_code / by_fine if by_fine > 0 else 0.0}


def write(
    fitted: Fitted,
    folder: Path,
    version: str,
    *,
    frame: Frame | None = None,
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0),
    std: tuple[float, float, float] = (1.0, 1.0, 1.0),
    pretraining: str = "none",
    network: Mapping[str, Any] | None = None,
    trained: Mapping[str, Any] | None = None,
    verdict: Mapping[str, Any] | None = None,
    card: Any = None,
) -> ModelConfig:
    """Writes the MODEL folder around what was fitted; `folder`/encoder.onnx is there where the model has a `frame`.

    card: called with the completed config for the text of README.md; None: a short one.
    """
    M, K, d = fitted.codebooks.shape
    config = ModelConfig(
        method=METHOD,
        M=M,
        K=K,
        D=d,
        frame=frame,
        mean=mean,
        std=std,
        metric=_METRIC,
        shared=True,
        described=True,
        fine=fitted.fine,
        nested=tuple(bits for bits in _NESTED if bits < 8 * M),
        features=fitted.description.F,
        pretraining=pretraining,
        network=network or {},
        trained={**fitted.facts, **(trained or {})},
        verdict=verdict or {},
        format=FORMAT,
    )
    write_description(folder, fitted.description)
    write_codebooks(folder, fitted.codebooks)
    told = _card if card is None else card
    return write_config(
        folder, config, version, before=lambda done: write_atomic(folder / "README.md", told(done))
    )


def verdict(fitted: Fitted) -> dict[str, Any]:
    """The label-free figures: how far two halves of the features agree, described and as they are."""
    shares = fitted.facts["agreement"]
    chosen = str(Strength(**fitted.facts["strength"]))
    return {
        "pictures": fitted.facts["pictures"],
        "agreement": shares.get(chosen),
        "before": fitted.facts["agreement_before"] if shares else None,
    }


def fit_vectors(
    features: Any, out: Path, bits: int, version: str, *, strength: Strength | None = None
) -> Path:
    """`fit`, written to the new or empty folder `out` as a model that takes vectors. Returns the folder.

    ConfigError when `out` holds something; then nothing is touched.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise ConfigError(f"{out} is not empty: nothing is overwritten, give another folder")
    fitted = fit(features, bits, strength=strength)
    existed = out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        write(fitted, out, version, verdict=verdict(fitted))
    except BaseException:
        if not existed:
            shutil.rmtree(out, ignore_errors=True)
        raise
    return out


def _card(config: ModelConfig) -> str:
    facts, M = config.trained, config.M
    return f"""# A sightbook model of vectors: {config.bits}-bit codes

Turns a vector of {config.features} numbers into a code of {config.bits} bits ({M} clusterings of {config.K}), such that
vectors of similar things get similar codes. Written by sightbook {config.sightbook}, model format {config.format}.

Learned in closed form, without labels, by the method `{config.method}` ({Strength(**facts["strength"])}) from
{facts["pictures"]:,} vectors: {facts["looked_at"]:,} were looked at, {facts["distinct"]:,} of them distinct.
What the vectors were made by, sightbook does not know.

    sightbook add LIBRARY VECTORS.parquet --model THIS_FOLDER
"""


def codes_of(features: NDArray[Any], fitted: Fitted) -> NDArray[np.uint8]:
    """Codes (N, M) uint8 of features (N, F)."""
    return assign(fitted.description.apply(features), fitted.codebooks, _METRIC)


def strength_like(value: Any, name: str) -> Any:
    """A `Strength`, or None. ConfigError for anything else."""
    if value is not None and not isinstance(value, Strength):
        raise ConfigError(
            f"{name} is {described(value)}: give a sightbook.describe.learn.Strength, or leave it out"
        )
    return value

"""config.json of a MODEL folder: everything needed to rebuild and to use the model.

Plain dataclasses rather than pydantic: this file is read on every search, where pydantic alone would cost a tenth
of a second, and it is written by the program, not by hand.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

from sightbook.codes.tables import Metric
from sightbook.errors import ConfigError, ModelError
from sightbook.images.pixels.frame import Frame
from sightbook.model.released import find, names, near

# 1: inner products only; 2: `metric`; 3: `shared`, `described`, `fine`, models of vectors (no `frame`). A model is
# written in the least format that has what it needs, so that older programs go on reading those they can.
PLAIN, FORMAT = 2, 3


@dataclass(frozen=True)
class ModelConfig:
    """What a model is. `network` describes backbone and head for `sightbook.model.torch.network.build`."""

    method: str
    M: int
    K: int
    D: int
    frame: Frame | None  # None: the model takes vectors, not pictures
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    metric: Metric = "inner"
    shared: bool = False  # every codebook sees the whole embedding (d = D), not a part of its own
    described: bool = False  # embeddings are made of features by description.safetensors, not by the encoder
    fine: Mapping[str, float] | None = (
        None  # of fine codes (codes/fine.py): limit and weight; None: it has none
    )
    nested: tuple[int, ...] = ()
    features: int = 0  # F, the numbers of the backbone before the head; 0: the encoder does not give them
    pretraining: str = "none"
    selection: str = "last"
    network: Mapping[str, Any] = field(default_factory=dict)
    trained: Mapping[str, Any] = field(default_factory=dict)
    verdict: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fingerprint: str = ""
    sightbook: str = ""
    format: int = PLAIN

    @property
    def d(self) -> int:
        """Length of what one codebook sees: of a sub-vector, or of the whole embedding."""
        return self.D if self.shared else self.D // self.M

    @property
    def bits(self) -> int:
        """Length of a code: M · log2 K."""
        return self.M * (self.K.bit_length() - 1)

    @property
    def backbone(self) -> str | None:
        """The name of its network, or of its kind; None: it has none, and takes vectors."""
        spec = self.network.get("backbone", {})
        kind, name = spec.get("kind"), spec.get("name")
        return f"{name} ({kind})" if name and kind else name or kind

    @property
    def told_pretraining(self) -> str:
        """`pretraining` for people: labels are what is taken where nobody said how the backbone was pretrained."""
        unknown = self.network.get("backbone", {}).get("pretraining") == "unknown"
        return (
            f"unknown, taken as {self.pretraining}"
            if unknown and self.pretraining == "labels"
            else self.pretraining
        )

    @property
    def noun(self) -> str:
        """What it takes, in one word: pictures or vectors."""
        return "vectors" if self.frame is None else "pictures"

    def to_json(self) -> str:
        content = asdict(self)
        content["bits"] = self.bits
        return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, folder: Path) -> ModelConfig:
        """Reads and checks `folder`/config.json; ModelError says what is wrong with it."""
        folder = find(folder)
        path = folder / "config.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ModelError(
                f"{folder} is not a sightbook model (no config.json): give the folder that `sightbook train --out` "
                f"wrote, or a released one ({', '.join(names()) or 'there is none'}){near(folder)}"
            ) from None
        except (OSError, ValueError) as error:
            raise ModelError(f"{path} cannot be read ({error}): restore it or train again") from None
        if not isinstance(content, dict) or "method" not in content or "format" not in content:
            raise ModelError(
                f"{path} does not describe a sightbook model: give the folder that `sightbook train` wrote"
            )
        if not isinstance(content["format"], int) or content["format"] < 1:
            raise ModelError(f"{path} is damaged (format {content['format']!r}): restore it or train again")
        if content["format"] > FORMAT:
            raise ModelError(
                f"{folder} has model format {content['format']}, this program reads up to {FORMAT}: "
                "update sightbook (pip install -U sightbook)"
            )
        known = {item.name for item in fields(cls)}
        try:
            if content["frame"] is not None:
                content["frame"] = Frame(**content["frame"])
            elif not content.get("described"):
                raise ValueError("it has neither a frame for pictures nor a description of vectors")
            content["mean"], content["std"] = tuple(content["mean"]), tuple(content["std"])
            content["nested"] = tuple(content.get("nested", ()))
            config = cls(**{key: value for key, value in content.items() if key in known})
            for name in ("network", "trained", "verdict", "files"):
                if not isinstance(getattr(config, name), dict):
                    raise ValueError(f"{name} is {getattr(config, name)!r}, no section of facts")
            for name in ("M", "K", "D"):
                if type(getattr(config, name)) is not int or getattr(config, name) < 1:
                    raise ValueError(f"{name} is {getattr(config, name)!r}, no number of 1 or more")
            if (not config.shared and config.D % config.M) or config.K not in (16, 256):
                raise ValueError(f"M {config.M}, K {config.K}, D {config.D} do not fit")
            if config.metric not in get_args(Metric):
                raise ValueError(f"metric {config.metric!r} is unknown")
            if config.fine is not None and not (
                config.described
                and set(config.fine) == {"limit", "weight"}
                and 0 < config.fine["limit"] < math.inf
                and 0 <= config.fine["weight"] < math.inf
            ):
                raise ValueError(f"fine codes by {config.fine} are none")
        except (KeyError, TypeError, ValueError, ConfigError) as error:
            why = str(error).rstrip(".")
            raise ModelError(f"{path} is damaged ({why}): restore it or train again") from None
        return config

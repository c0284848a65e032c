"""One typed, frozen configuration for training. Unknown keys, wrong types and settings that do not fit are errors.

Data flow: defaults ← preset (chosen from the pictures when not named) ← FILE (`--config`) ← options of the command ←
`--set key=value`; the result is written to MODEL/train/config.yaml. Names are the letters of docs/methods.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from sightbook.errors import ConfigError


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class BackboneConfig(_Frozen):
    """The network in front of the head.

    `kind` vit and resnet are built from these numbers with random weights; `pretrained` opens `name`, a hub name or a
    local folder in the hub's layout; its batch norms keep their running statistics.
    """

    kind: Literal["vit", "resnet", "pretrained"] = "resnet"
    name: str | None = None
    # What a pretrained backbone was trained with; None takes the cautious answer for an unknown name: labels.
    pretraining: Literal["self-supervised", "labels"] | None = None
    # vit
    patch: int = Field(4, ge=1)
    width: int = Field(128, ge=8)
    depth: int = Field(4, ge=1)
    heads: int = Field(4, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    # resnet
    stem_width: int = Field(32, ge=4)
    stem_stride: Literal[1, 2, 4] = 1
    widths: tuple[Annotated[int, Field(ge=1)], ...] = (32, 64, 128)
    depths: tuple[Annotated[int, Field(ge=1)], ...] = (1, 1, 1)
    # Starts the stem's filters from the principal components of the collection's own patches.
    whiten: bool = True

    @model_validator(mode="after")
    def _fit(self) -> BackboneConfig:
        if len(self.widths) != len(self.depths) or not self.widths:
            raise ValueError("backbone.widths and backbone.depths need one number for each stage")
        if self.width % self.heads:
            raise ValueError(f"backbone.width {self.width} is not a multiple of backbone.heads {self.heads}")
        if (self.kind == "pretrained") != (self.name is not None):
            raise ValueError("backbone.name goes with backbone.kind=pretrained, and only with it")
        return self


class ViewsConfig(_Frozen):
    """One random view: resized crop, flip, colour jitter, grey, blur. Probabilities in 0..1.

    `size`: side of a view in pixels while training. None: three quarters of the encoder's `size` for a resnet, all
    of it for networks of a fixed resolution. A crop shows a part of the picture, on average three quarters of its
    side, so that things are as large in the smaller view as they later are in the whole picture, in fewer pixels.
    """

    size: int | None = Field(None, ge=8)
    crop_min: float = Field(0.2, gt=0, le=1)
    flip: float = Field(0.5, ge=0, le=1)
    jitter: float = Field(0.4, ge=0, le=1)
    hue: float = Field(0.1, ge=0, le=0.5)
    jitter_share: float = Field(0.8, ge=0, le=1)
    grey: float = Field(0.2, ge=0, le=1)
    blur: float = Field(0.0, ge=0, le=1)


class OptimizerConfig(_Frozen):
    """AdamW; the rate warms up linearly and then follows half a cosine to zero, step by step."""

    rate: float = Field(2e-3, gt=0)
    backbone_rate: float | None = Field(None, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    warmup: float = Field(0.03, ge=0, lt=1)
    clip_norm: float = Field(5.0, gt=0)


class TrainConfig(_Frozen):
    """Everything that decides a training run. Bits are derived: M · log2 K."""

    method: Literal["transclippedclr"] = "transclippedclr"
    preset: Literal["small", "photo", "paper"] = "small"
    M: int = Field(16, ge=1, le=128)
    K: Literal[16, 256] = 16
    D: int = Field(256, ge=1, le=8192)
    codebooks: Literal["learned", "frozen"] = "learned"
    alpha: float = Field(10.0, gt=0)
    tau: float = Field(0.2, gt=0)
    # A count when it is an int, a fraction of the 2B - 2 negatives when it is a float in [0, 1).
    clip: int | float = 0.05
    batch: int = Field(128, ge=2)
    size: int = Field(32, ge=8, le=1024)
    resize: int = Field(32, ge=8, le=1152)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    seed: int = Field(0, ge=0, le=2**31 - 1)
    epochs: int | None = Field(None, ge=0)
    minutes: float | None = Field(None, gt=0)
    held_out: float = Field(0.02, gt=0, lt=0.5)
    memory_gib: float = Field(4.0, gt=0)
    checkpoint_minutes: float = Field(3.0, gt=0)
    backbone: BackboneConfig = BackboneConfig()
    views: ViewsConfig = ViewsConfig()
    optimizer: OptimizerConfig = OptimizerConfig()

    @property
    def bits(self) -> int:
        return self.M * (self.K.bit_length() - 1)

    @property
    def d(self) -> int:
        return self.D // self.M

    @property
    def view_size(self) -> int:
        """Side of a training view in pixels."""
        if self.views.size is not None:
            return self.views.size
        return max(8, round(0.75 * self.size)) if self.backbone.kind == "resnet" else self.size

    @field_validator("clip", mode="before")
    @classmethod
    def _no_truth_value(cls, clip: Any) -> Any:
        if isinstance(clip, bool):
            raise ValueError(f"{clip} is neither a count (0, 1, 2 …) nor a fraction in [0, 1)")
        return clip

    @model_validator(mode="after")
    def _fit(self) -> TrainConfig:
        if self.D % self.M:
            raise ValueError(
                f"D {self.D} is not a multiple of M {self.M}: {self.M} equal sub-vectors are needed"
            )
        if not 16 <= self.bits <= 128:
            raise ValueError(
                f"M {self.M} codebooks of K {self.K} codewords make {self.bits} bits; 16 to 128 are possible"
            )
        if (self.epochs is None) == (self.minutes is None):
            raise ValueError("the budget is either epochs or minutes")
        if self.clip < 0 or (isinstance(self.clip, float) and self.clip >= 1):
            raise ValueError(f"clip {self.clip} is neither a count (0, 1, 2 …) nor a fraction in [0, 1)")
        if self.backbone.kind == "vit" and self.size % self.backbone.patch:
            raise ValueError(f"size {self.size} is not a multiple of backbone.patch {self.backbone.patch}")
        if self.backbone.kind == "vit" and self.views.size not in (None, self.size):
            raise ValueError(
                f"views.size {self.views.size} is not size {self.size}, which a vit needs: leave it out"
            )
        if self.resize < self.size:
            raise ValueError(
                f"resize {self.resize} is smaller than size {self.size}: raise the one or lower the other"
            )
        return self

    def clipped(self, batch: int) -> int:
        """Negatives left out per anchor in a batch of `batch` pictures; ConfigError when none would remain."""
        negatives = 2 * batch - 2
        count = int(self.clip * negatives) if isinstance(self.clip, float) else self.clip
        if count >= negatives:
            raise ConfigError(
                f"clip {self.clip} leaves no negatives in a batch of {batch} pictures "
                f"({negatives} negatives): lower clip"
            )
        return count


# What differs from the defaults above. A preset is a plain nested mapping, so that --set and FILE are the same thing.
Settings = Mapping[str, Any]

_PHOTO: Settings = {
    "size": 224,
    "resize": 256,
    "batch": 128,
    "backbone": {"stem_stride": 4, "stem_width": 32, "widths": (32, 64, 128, 256), "depths": (1, 1, 1, 1)},
    "views": {"blur": 0.5},
}
_VIT: Settings = {"backbone": {"kind": "vit"}, "optimizer": {"rate": 1e-3, "weight_decay": 0.05}}
_PRETRAINED: Settings = {"batch": 64, "optimizer": {"rate": 1e-3, "backbone_rate": 1e-4}}
# The published method as far as it is told: a Vision Transformer with dropout .1 and codebooks of 256 codewords.
_PAPER: Settings = {"K": 256, "backbone": {"kind": "vit", "dropout": 0.1}}
PRESETS = ("small", "photo", "paper")


def preset_layers(preset: str | None, shorter_side: int, backbone: str | None) -> list[Settings]:
    """The layers that stand below the user's own settings.

    `preset` None: small or photo by `shorter_side`, the pictures' median in pixels. `backbone`: resnet, vit, or the
    name or folder of a pretrained one; None leaves it to the preset.
    """
    if preset is not None and preset not in PRESETS:
        raise ConfigError(f"preset {preset!r} is unknown: choose one of {', '.join(PRESETS)}")
    size = preset if preset in ("small", "photo") else ("small" if shorter_side <= 64 else "photo")
    layers: list[Settings] = [{"preset": preset or size}]
    if size == "photo":
        layers.append(_PHOTO)
    elif shorter_side > 40:
        layers.append({"size": 64, "resize": 64, "backbone": {"stem_stride": 2, "patch": 8}})
    if size == "photo" and (backbone == "vit" or preset == "paper"):
        layers.append({"backbone": {"patch": 16, "width": 192, "depth": 6, "heads": 6}})
    if backbone == "vit" or (preset == "paper" and backbone is None):
        layers.append(_VIT)
    if preset == "paper":
        layers.append(_PAPER)
    if backbone == "resnet":
        layers.append({"backbone": {"kind": "resnet"}})
    elif backbone not in (None, "vit"):
        layers.append(
            merge(_PRETRAINED, {"backbone": {"kind": "pretrained", "name": backbone, "dropout": 0.0}})
        )
    return layers


def parse_setting(text: str) -> dict[str, Any]:
    """`views.crop_min=0.3` → {'views': {'crop_min': 0.3}}; the value is read as YAML."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {text!r} is not of the form key=value, for example --set tau=0.2")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError(
            f"--set {text!r}: the value cannot be read, write it as in YAML, for example 0.2 or frozen"
        ) from None
    for part in reversed(key.strip().split(".")):
        parsed = {part: parsed}
    result: dict[str, Any] = parsed
    return result


def read_file(path: Path) -> dict[str, Any]:
    """A YAML file of settings, as `--config` takes it."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): give the path of a YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML ({str(error).splitlines()[0]}): correct it") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold settings as key: value lines")
    return content


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings laid over each other, later ones win; the inputs stay as they are."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = result.get(key)
            if isinstance(value, Mapping):
                result[key] = merge(below if isinstance(below, Mapping) else {}, value)
            else:
                result[key] = value
    return result


def build(layers: Sequence[Mapping[str, Any]]) -> TrainConfig:
    """The validated configuration; ConfigError in one sentence naming every key at fault."""
    try:
        return TrainConfig.model_validate(merge(*layers))
    except ValidationError as error:
        faults = []
        for fault in error.errors():
            key = ".".join(str(part) for part in fault["loc"] if part not in ("int", "float"))
            message = fault["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
            if fault["type"] == "extra_forbidden":
                message = "is not a setting; see docs/commands.md for the list"
            if fault["type"] == "model_type":
                message = f"is a section of settings: write {key}.NAME=VALUE"
                message += ", or --backbone vit, resnet or a pretrained one" if key == "backbone" else ""
            named = message.startswith((f"{key} ", f"{key}."))  # our own sentences name the key themselves
            faults.append(message if named else f"{key} {message}".strip())
        raise ConfigError("; ".join(dict.fromkeys(faults))) from None


def dump(config: TrainConfig) -> str:
    """The resolved configuration as YAML."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

"""One typed, frozen configuration for training. Unknown keys, wrong types and settings that do not fit are errors.

Data flow: defaults ← `presets.layers` (by the pictures, the backbone, the method) ← FILE (`--config`) ← options of the
command ← `--set key=value` → `build`; the result is written to MODEL/train/config.yaml. Names are the letters of
docs/methods.md.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from sightbook.errors import ConfigError
from sightbook.methods import find
from sightbook.presets import DEFAULT_FROZEN_METHOD
from sightbook.settings import merge


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
    # What of a pretrained backbone is trained: all of it, its last N blocks, or nothing (the head alone learns).
    train: str = Field("all", pattern=r"^(all|head|last:[1-9][0-9]*)$")
    # One vector of the last hidden state: class token, mean, generalized mean; auto: what the network was made for.
    pool: Literal["auto", "class", "mean", "gem"] = "auto"
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
        if self.train == "head" and self.dropout:
            raise ValueError(
                f"backbone.dropout {self.dropout:g} would do nothing: with backbone.train head none of it is trained"
            )
        if self.kind != "pretrained" and self.train != "all":
            raise ValueError(
                f"backbone.train {self.train} needs a pretrained backbone: a new {self.kind} is trained whole"
            )
        return self


class ViewsConfig(_Frozen):
    """One random view: resized crop, flip, colour jitter, grey, blur. Probabilities in 0..1.

    `size`: side of a view in pixels while training. None: three quarters of the encoder's `size` for a resnet, all
    of it for networks of a fixed resolution. A crop shows a part of the picture, on average three quarters of its
    side, so that things are as large in the smaller view as they later are in the whole picture, in fewer pixels.
    `first_size`: that of the views in the first `first_share` of the budget, where it is smaller; None: no other. A
    resnet learns much of what it will know from views of half the pixels, in half the time (progressive resizing).
    `apart`: first and second views go through the backbone one after the other, so that its batch norms know one kind.
    `local`: further views of each picture, crops of `local_min` to `local_max` of it, for methods that use them.
    """

    size: int | None = Field(None, ge=8)
    first_size: int | None = Field(None, ge=8)
    first_share: float = Field(0.8, ge=0, le=1)
    apart: bool = False
    local: int = Field(0, ge=0, le=8)
    local_min: float = Field(0.05, gt=0, le=1)
    local_max: float = Field(0.14, gt=0, le=1)
    crop_min: float = Field(0.2, gt=0, le=1)
    flip: float = Field(0.5, ge=0, le=1)
    jitter: float = Field(0.4, ge=0, le=1)
    hue: float = Field(0.1, ge=0, le=0.5)
    jitter_share: float = Field(0.8, ge=0, le=1)
    grey: float = Field(0.2, ge=0, le=1)
    blur: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> ViewsConfig:
        if self.local_min > self.local_max:
            raise ValueError(
                f"views.local_min {self.local_min} is above views.local_max {self.local_max}: exchange them"
            )
        return self


class OptimizerConfig(_Frozen):
    """How weights follow gradients; the rate warms up linearly and then follows half a cosine to zero, step by step.

    `kind`: AdamW, whose decay stands beside the gradient; Adam and SGD with momentum .9, whose decay is part of it.
    """

    kind: Literal["adamw", "adam", "sgd"] = "adamw"
    rate: float = Field(2e-3, gt=0)
    backbone_rate: float | None = Field(None, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    warmup: float = Field(0.03, ge=0, lt=1)
    clip_norm: float | None = Field(5.0, gt=0)


class FeaturesConfig(_Frozen):
    """The cache of a frozen backbone's features (backbone.train=head)."""

    # Random views of each picture that are kept; a step takes two of them.
    views: int = Field(4, ge=2)
    limit_gib: float = Field(8.0, gt=0)
    # Where they are kept for other runs on the same pictures; None: beside the run, until it ends.
    folder: str | None = None


class TermsConfig(_Frozen):
    """Weights and settings of a method's terms. A method has those its `settings` name, no others; those of a method
    that was brought along stand beside these, `TrainConfig` checks them."""

    model_config = ConfigDict(frozen=True, extra="allow", validate_default=True, allow_inf_nan=False)

    # Chance that a negative shows the same thing: the debiasing of the contrast.
    rho: float | None = Field(None, ge=0, lt=1)
    # Soft codes of earlier batches used as further negatives, from this share of the budget on.
    memory: int | None = Field(None, ge=0)
    memory_after: float | None = Field(None, ge=0, le=1)
    entropy: float | None = Field(None, ge=0)
    codeword_similarity: float | None = Field(None, ge=0)
    contrast_x: float | None = Field(None, ge=0)
    contrast_z: float | None = Field(None, ge=0)
    neighbours: float | None = Field(None, ge=0)
    neighbour_count: int | None = Field(None, ge=1)
    neighbour_tau: float | None = Field(None, gt=0)
    usage: float | None = Field(None, ge=0)
    consistency: float | None = Field(None, ge=0)
    consistency_tau: float | None = Field(None, gt=0)
    relation_x: float | None = Field(None, ge=0)
    relation_z: float | None = Field(None, ge=0)
    relation_tau: float | None = Field(None, gt=0)
    teacher_tau: float | None = Field(None, gt=0)


class StrengthConfig(_Frozen):
    """How strongly a described model follows its collection (`sightbook.describe.learn.Strength`)."""

    whitening: float = Field(0.3, gt=0)
    ridge: float = Field(0.3, gt=0)
    own: float = Field(0.3, ge=0, le=1)


class TrainConfig(_Frozen):
    """Everything that decides a training run. Bits are derived: M · log2 K."""

    # One that `sightbook.methods` knows; `presets.layers` lays its choice over this one, which alone needs no terms.
    method: str = "transclippedclr"
    preset: Literal["small", "photo", "paper"] = "small"
    M: int = Field(16, ge=1, le=128)
    K: Literal[16, 256] = 16
    D: int = Field(256, ge=1, le=8192)
    # Shorter codes, in bits, that the first codebooks are to be by themselves.
    nested: tuple[Annotated[int, Field(ge=16)], ...] = ()
    codebooks: Literal["learned", "frozen"] = "learned"
    # cosine: unit sub-vectors and codewords; distance: neither has a fixed length, the nearer the more alike; kmeans:
    # as distance, from the principal components of the backbone's features and their k-means clusters on.
    quantizer: Literal["cosine", "distance", "kmeans"] = "cosine"
    head_layers: Literal[1, 2] = 1
    standardize: bool = True
    alpha: float = Field(10.0, gt=0)
    tau: float = Field(0.2, gt=0)
    # A count when it is an int, a fraction of the 2B - 2 negatives when it is a float in [0, 1).
    clip: int | float = 0.05
    batch: int = Field(128, ge=2)
    size: int = Field(32, ge=8, le=1024)
    resize: int = Field(32, ge=8, le=1152)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    # torch.compile of the backbone: minutes at the start, faster steps on a GPU.
    compile: bool = False
    seed: int = Field(0, ge=0, le=2**31 - 1)
    epochs: int | None = Field(None, ge=0)
    minutes: float | None = Field(None, gt=0)
    held_out: float = Field(0.02, gt=0, lt=0.5)
    memory_gib: float = Field(4.0, gt=0)
    checkpoint_minutes: float = Field(3.0, gt=0)
    # Models on the way, at even parts of the budget; None: nine where one of them is to be chosen, else none.
    snapshots: int | None = Field(None, ge=0, le=99)
    # The state that becomes the model: that at the end, or the snapshot whose codes know held-out pictures best.
    selection: Literal["last", "label-free"] = "last"
    backbone: BackboneConfig = BackboneConfig()
    views: ViewsConfig = ViewsConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    terms: TermsConfig = TermsConfig()
    features: FeaturesConfig = FeaturesConfig()
    # Of method neighbours; None: chosen by the pictures.
    strength: StrengthConfig | None = None

    @property
    def closed_form(self) -> bool:
        """Whether the method learns in closed form, without steps, from the features of a frozen backbone."""
        return self.method == DEFAULT_FROZEN_METHOD

    @property
    def bits(self) -> int:
        return self.M * (self.K.bit_length() - 1)

    @property
    def prefixes(self) -> list[int]:
        """Codebooks of each code that is learned, ascending: those of the nested codes, then all M."""
        return [bits // (self.bits // self.M) for bits in self.nested] + [self.M]

    @property
    def d(self) -> int:
        return self.D // self.M

    @property
    def snapshot_count(self) -> int:
        """How many models on the way are written."""
        if self.snapshots is not None:
            return self.snapshots
        return 9 if self.selection == "label-free" else 0

    @property
    def view_size(self) -> int:
        """Side of a training view in pixels."""
        if self.views.size is not None:
            return self.views.size
        return max(8, round(0.75 * self.size)) if self.backbone.kind == "resnet" else self.size

    @field_validator("method")
    @classmethod
    def _known(cls, method: str) -> str:
        try:
            find(method)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return method

    @field_validator("clip", mode="before")
    @classmethod
    def _no_truth_value(cls, clip: Any) -> Any:
        if isinstance(clip, bool):
            raise ValueError(f"{clip} is neither a count (0, 1, 2 …) nor a fraction in [0, 1)")
        return clip

    @model_validator(mode="after")
    def _fit(self) -> TrainConfig:
        if self.closed_form:
            if self.backbone.train != "head" or self.K != 256:
                raise ValueError(
                    "method neighbours learns from the features of a frozen backbone, 256 codewords a codebook: it "
                    "needs a pretrained --backbone with --train head, and K=256 (16 codewords: --method rcq)"
                )
        elif self.strength is not None:
            raise ValueError(f"strength would do nothing in method {self.method}: it belongs to neighbours")
        elif self.D % self.M:
            raise ValueError(
                f"D {self.D} is not a multiple of M {self.M}: {self.M} equal sub-vectors are needed"
            )
        if not 16 <= self.bits <= 128:
            raise ValueError(
                f"M {self.M} codebooks of K {self.K} codewords make {self.bits} bits; 16 to 128 are possible"
            )
        if list(self.nested) != sorted(set(self.nested)) or any(
            bits % 8 or bits >= self.bits for bits in self.nested
        ):
            raise ValueError(
                f"nested {list(self.nested)} must be ascending multiples of 8 bits below the whole code's {self.bits}"
            )
        if not self.closed_form and (self.epochs is None) == (self.minutes is None):
            raise ValueError("the budget is either epochs or minutes")
        if self.clip < 0 or (isinstance(self.clip, float) and self.clip >= 1):
            raise ValueError(f"clip {self.clip} is neither a count (0, 1, 2 …) nor a fraction in [0, 1)")
        if self.quantizer == "kmeans" and (self.head_layers != 1 or self.standardize):
            raise ValueError(
                "quantizer kmeans starts from clusters of the features: it needs head_layers=1 and standardize=false"
            )
        if self.backbone.kind == "vit" and self.size % self.backbone.patch:
            raise ValueError(f"size {self.size} is not a multiple of backbone.patch {self.backbone.patch}")
        if self.backbone.kind == "vit" and self.views.size not in (None, self.size):
            raise ValueError(
                f"views.size {self.views.size} is not size {self.size}, which a vit needs: leave it out"
            )
        if self.views.first_size is not None and self.backbone.kind != "resnet":
            raise ValueError(
                f"views.first_size {self.views.first_size} is for resnets, which take any size: leave it out"
            )
        own = find(self.method).terms
        has = set(own)
        built_in = set(TermsConfig.model_fields)
        said = self.terms.model_dump()
        given = {name for name, value in said.items() if value is not None or name not in built_in}
        if given - has:
            listed = ", ".join(f"terms.{name}" for name in sorted(given - has))
            only = f"it has terms.{', terms.'.join(sorted(has))}" if has else "it has no terms"
            raise ValueError(f"{listed} would do nothing in method {self.method}: {only}")
        if has - given:
            raise ValueError(f"method {self.method} needs terms.{', terms.'.join(sorted(has - given))}")
        for name in sorted(has - built_in):
            _check_term(name, self.term(name), own[name])
        if self.selection == "label-free" and self.snapshots == 0:
            raise ValueError("selection label-free chooses among snapshots: give at least one")
        if self.resize < self.size:
            raise ValueError(
                f"resize {self.resize} is smaller than size {self.size}: raise the one or lower the other"
            )
        return self

    def term(self, name: str) -> Any:
        """A setting under `terms` that the method has."""
        return getattr(self.terms, name)

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


def _check_term(name: str, value: Any, default: Any) -> None:
    """ValueError when a term of a method that was brought along is of another kind than its default."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    wanted, fits = {
        bool: ("true or false", isinstance(value, bool)),
        int: ("a whole number", number and isinstance(value, int)),
        float: ("a number", number),
        str: ("a word", isinstance(value, str)),
    }[type(default)]
    if not fits:
        raise ValueError(f"terms.{name} must be {wanted}, not {value!r}")


def setting_names() -> list[str]:
    """Every setting, as --set names it."""
    return list(_settings())


def setting_values(name: str) -> list[str]:
    """The values of a setting that has only a few; none of any other."""
    kinds, values = [_settings().get(name)], []
    while kinds:
        kind = kinds.pop(0)
        if get_origin(kind) is Literal:
            values += list(get_args(kind))
        elif kind is bool:
            values += ["true", "false"]
        else:
            kinds += [each for each in get_args(kind) if each is not type(None)]
    return [str(value) for value in values]


def _settings() -> dict[str, Any]:
    """Name → annotation."""
    found: dict[str, Any] = {}
    for name, field in TrainConfig.model_fields.items():
        sections = getattr(_plain(field.annotation), "model_fields", None)
        if sections is None:
            found[name] = field.annotation
        else:
            found |= {f"{name}.{key}": each.annotation for key, each in sections.items()}
    return found


def _plain(annotation: Any) -> Any:
    """The section of settings in `Section | None`."""
    kinds = [each for each in get_args(annotation) if hasattr(each, "model_fields")]
    return kinds[0] if kinds else annotation


def _nearest(key: str) -> str:
    """The setting that a mistyped one is nearest to, in words; empty where none is near."""
    near = difflib.get_close_matches(key, setting_names(), n=1)
    return f"did you mean {near[0]}? " if near else ""


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
                message = f"is not a setting; {_nearest(key)}see docs/commands.md for the list"
            if fault["type"] == "model_type":
                message = f"is a section of settings: write {key}.NAME=VALUE"
                message += ", or --backbone vit, resnet or a pretrained one" if key == "backbone" else ""
            named = message.startswith((f"{key} ", f"{key}."))  # our own sentences name the key themselves
            faults.append(message if named else f"{key} {message}".strip())
        raise ConfigError("; ".join(dict.fromkeys(faults))) from None


def dump(config: TrainConfig) -> str:
    """The resolved configuration as YAML."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

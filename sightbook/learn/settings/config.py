"""One typed, frozen configuration for training. Unknown keys, wrong types and settings that do not fit are errors.

Data flow: defaults ← `presets.layers` (by the pictures, the backbone, the method) ← FILE (`--config`) ← options of the
command ← `--set key=value` → `build`; the result is written to MODEL/train/config.yaml. Names are the letters of
docs/methods.md.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import yaml
from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from sightbook.errors import ConfigError
from sightbook.learn.methods.registry import find, known
from sightbook.learn.methods.terms import fill
from sightbook.learn.settings.layers import merge, not_a_section
from sightbook.learn.settings.presets import DEFAULT_FROZEN_METHOD, for_closed_form
from sightbook.learn.settings.sections import (
    FeaturesConfig,
    Frozen,
    OptimizerConfig,
    StrengthConfig,
    ViewsConfig,
)
from sightbook.model.networks import BackboneConfig, Shape


class TrainConfig(Frozen):
    """Everything that decides a training run. Bits are derived: M · log2 K."""

    # One that `learn.methods.registry` knows.
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
    # The method's own, as its dataclass of terms has them.
    terms: Any = Field(default_factory=dict)
    features: FeaturesConfig = FeaturesConfig()
    # Of method neighbours; None: chosen by the pictures.
    strength: StrengthConfig | None = None

    @property
    def closed_form(self) -> bool:
        """Whether the method learns in closed form, without steps, from the features of a frozen backbone."""
        return self.method == DEFAULT_FROZEN_METHOD

    @property
    def frozen(self) -> bool:
        """Whether the backbone keeps its weights."""
        return self.backbone.train == "head"

    @property
    def shape(self) -> Shape:
        """How head and quantizer are made."""
        return Shape(self.alpha, self.codebooks, self.quantizer, self.head_layers, self.standardize)

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
    def _check_method(cls, method: str) -> str:
        try:
            find(method)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return method

    @field_validator("terms", mode="plain")
    @classmethod
    def _fill_terms(cls, given: Any, info: ValidationInfo) -> Any:
        if "method" not in info.data:  # an unknown one: said already
            return given
        if not isinstance(given, Mapping):
            raise ValueError("is a section of settings: write terms.NAME=VALUE")
        return fill(find(info.data["method"]).terms, given, info.data["method"])

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
        if self.selection == "label-free" and self.snapshots == 0:
            raise ValueError("selection label-free chooses among snapshots: give at least one")
        if self.resize < self.size:
            raise ValueError(
                f"resize {self.resize} is smaller than size {self.size}: raise the one or lower the other"
            )
        return self

    def term(self, name: str) -> Any:
        """One of the method's own settings, by its name: what methods of one's own were first written with."""
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
        section = _section(field.annotation)
        found |= (
            {name: field.annotation}
            if section is None
            else {f"{name}.{key}": each.annotation for key, each in section.model_fields.items()}
        )
    del found["terms"]
    types = (get_type_hints(type(method.terms)) for method in known())
    return found | {f"terms.{name}": kind for terms in types for name, kind in terms.items()}


def _section(annotation: Any) -> Any:
    """The section of settings in `Section` and `Section | None`; None in any other annotation."""
    return next((each for each in (annotation, *get_args(annotation)) if hasattr(each, "model_fields")), None)


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
                message = not_a_section(key)
            named = message.startswith((f"{key} ", f"{key}."))  # our own sentences name the key themselves
            faults.append(message if named else f"{key} {message}".strip())
        raise ConfigError("; ".join(dict.fromkeys(faults))) from None


def plain(config: TrainConfig) -> dict[str, Any]:
    """The resolved settings as plain types; in closed form those that mean something there, so that `--config` takes
    them again."""
    told = config.model_dump(mode="json")
    return for_closed_form(told) if config.closed_form else told


def dump(config: TrainConfig) -> str:
    """The resolved settings as YAML."""
    return yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True)

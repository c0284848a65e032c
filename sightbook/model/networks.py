"""The settings of a network, without torch: its backbone, and how head and quantizer are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

QuantizerKind = Literal["cosine", "distance", "kmeans"]


class BackboneConfig(BaseModel):
    """The network in front of the head.

    `kind` vit and resnet are built from these numbers with random weights; `pretrained` opens `name`, a hub name or a
    local folder in the hub's layout; its batch norms keep their running statistics.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

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


@dataclass(frozen=True)
class Shape:
    """How head and quantizer are made; it stands in config.json, beside the backbone's spec."""

    alpha: float
    codebooks: str = "learned"
    quantizer: QuantizerKind = "cosine"
    head_layers: int = 1
    standardize: bool = True

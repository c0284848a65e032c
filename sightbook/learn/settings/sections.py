"""Sections of the settings: views, optimizer, kept features, strength. What shapes the backbone: `model.networks`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Frozen(BaseModel):
    """Settings that do not change; unknown names and numbers that are none are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class ViewsConfig(Frozen):
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
    def _check_order(self) -> ViewsConfig:
        if self.local_min > self.local_max:
            raise ValueError(
                f"views.local_min {self.local_min} is above views.local_max {self.local_max}: exchange them"
            )
        return self


class OptimizerConfig(Frozen):
    """How weights follow gradients; the rate warms up linearly and then follows half a cosine to zero, step by step.

    `kind`: AdamW, whose decay stands beside the gradient; Muon, the same with orthogonal steps of convolutions; Adam
    and SGD with momentum .9, whose decay is part of the gradient.
    """

    kind: Literal["adamw", "muon", "adam", "sgd"] = "adamw"
    rate: float = Field(2e-3, gt=0)
    backbone_rate: float | None = Field(None, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    warmup: float = Field(0.03, ge=0, lt=1)
    clip_norm: float | None = Field(5.0, gt=0)


class FeaturesConfig(Frozen):
    """The cache of a frozen backbone's features (backbone.train=head)."""

    # Random views of each picture that are kept; a step takes two of them.
    views: int = Field(4, ge=2)
    limit_gib: float = Field(8.0, gt=0)
    # Where they are kept for other runs on the same pictures; None: beside the run, until it ends.
    folder: str | None = None


class StrengthConfig(Frozen):
    """How strongly a described model follows its collection (`sightbook.describe.learn.Strength`)."""

    whitening: float = Field(0.3, gt=0)
    ridge: float = Field(0.3, gt=0)
    own: float = Field(0.3, ge=0, le=1)

"""One vector from the last hidden state of a vision model: (B, T, F) tokens or (B, F, H, W) map → features (B, F)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sightbook.errors import ConfigError
from sightbook.model.torch import lite

# Tokens that stand before those of the patches: class token, distillation token, registers.
_CLASS_TOKEN = {
    "vit",
    "vit_msn",
    "vit_mae",
    "beit",
    "data2vec-vision",
    "dinov2",
    "ijepa",
    "clip_vision_model",
}
_REGISTERS = {"dinov2_with_registers", "dinov3_vit"}
_LEADING = {"deit": 2, "dinov3_convnext": 1, "ijepa": 0}
# Models made for the class token; the others for the mean.
_BY_CLASS = {*_CLASS_TOKEN, *_REGISTERS, "deit"} - {"ijepa", "vit_mae"}
# Norms that these models apply to the pooled vector only, not to the hidden state.
_NORMS = {"convnext": "layernorm", "convnextv2": "layernorm", "clip_vision_model": "post_layernorm"}

# Better than the mean for the built-in network, by measurement (docs/log.md).
_OTHERWISE = {lite.KIND: "rms"}

_POWER, _LEAST = 3.0, 1e-6


def leading_tokens(model_type: str, facts: Mapping[str, Any]) -> int:
    """How many tokens stand before those of the patches; `facts` are the model's configuration."""
    if model_type in _LEADING:
        return _LEADING[model_type]
    if model_type in _REGISTERS:
        return 1 + int(facts.get("num_register_tokens", 4))
    return int(model_type in _CLASS_TOKEN)


def choose(asked: str, model_type: str) -> str:
    """class, mean or gem for what was asked for; auto is what the model was made for.

    ConfigError for the class token of a model that has none.
    """
    if asked == "class" and model_type not in {*_BY_CLASS, "vit_mae", "dinov3_convnext"}:
        raise ConfigError(
            f"backbone.pool class needs a class token, which a {model_type} has not: give mean, gem or auto"
        )
    if asked != "auto":
        return asked
    return "class" if model_type in _BY_CLASS else _OTHERWISE.get(model_type, "mean")


def norm_after(model_type: str) -> str | None:
    """The name of the norm that belongs after the pooling."""
    return _NORMS.get(model_type)


def pool(hidden: Tensor, how: str, leading: int) -> Tensor:
    """hidden (B, T, F) or (B, F, H, W) → (B, F).

    mean, rms and gem look at patches or places only, not at the `leading` tokens. gem is the generalized mean
    (mean of x³)^⅓ over positive parts (Radenović, Tolias, Chum 2018): between mean and maximum; rms the one of squares.
    """
    if how == "class":
        return hidden[:, 0]
    places, over = (hidden[:, leading:], (1,)) if hidden.ndim == 3 else (hidden, (2, 3))
    if how == "mean":
        return places.mean(over)
    if how == "rms":
        return places.square().mean(over).clamp(min=_LEAST**2).sqrt()
    return places.clamp(min=_LEAST).pow(_POWER).mean(over).pow(1.0 / _POWER)


def check(how: str) -> str:
    """A pooling as config.json tells it; older models say map or tokens, which is the mean of all there is."""
    if how not in ("class", "mean", "rms", "gem", "map", "tokens"):
        raise ConfigError(f"pooling {how!r} is unknown: update sightbook, or train again")
    return "mean" if how in ("map", "tokens") else how

"""What has to be known of each kind of network beside its configuration: a line each, for those that differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sightbook.errors import ConfigError
from sightbook.model.torch import lite


@dataclass(frozen=True)
class Facts:
    """leading: tokens before those of the patches, the first of them a class token; pool: what the network was made
    for; norm: the name of a norm that belongs behind the pooling, not before; pooler: whether it comes with a trained
    layer that we do not use, and which would be dead in the optimizer."""

    leading: int = 0
    pool: str = "mean"
    norm: str | None = None
    pooler: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """What the network is made with."""
        return {"add_pooling_layer": False} if self.pooler else {}


_KNOWN = {
    "vit": Facts(1, "class", pooler=True),
    "vit_msn": Facts(1, "class"),
    "vit_mae": Facts(1),
    "beit": Facts(1, "class", pooler=True),
    "data2vec-vision": Facts(1, "class"),
    "deit": Facts(2, "class", pooler=True),
    # Their registers come on top.
    "dinov2": Facts(1, "class"),
    "dinov2_with_registers": Facts(1, "class"),
    "dinov3_vit": Facts(1, "class"),
    "dinov3_convnext": Facts(1),
    "clip_vision_model": Facts(1, "class", norm="post_layernorm"),
    "swin": Facts(pooler=True),
    "swinv2": Facts(pooler=True),
    "convnext": Facts(norm="layernorm"),
    "convnextv2": Facts(norm="layernorm"),
    # Better than the mean, by measurement (docs/log.md).
    lite.KIND: Facts(pool="rms"),
}


def facts_of(kind: str) -> Facts:
    """What is known of a kind, by transformers' name of it; a map or plain patches where nothing is."""
    return _KNOWN.get(kind, Facts())


def choose(asked: str, kind: str) -> str:
    """class, mean, rms or gem for what was asked for; auto is what the kind was made for.

    ConfigError for the class token of a network that has none.
    """
    facts = facts_of(kind)
    if asked == "class" and not facts.leading:
        raise ConfigError(
            f"backbone.pool class needs a class token, which a {kind} has not: give mean, gem or auto"
        )
    return facts.pool if asked == "auto" else asked

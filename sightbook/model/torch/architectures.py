"""What has to be known of each kind of network beside its configuration: a line each, for those that differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sightbook.errors import ConfigError
from sightbook.model.torch import lite


@dataclass(frozen=True)
class Architecture:
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
    "vit": Architecture(1, "class", pooler=True),
    "vit_msn": Architecture(1, "class"),
    "vit_mae": Architecture(1),
    "beit": Architecture(1, "class", pooler=True),
    "data2vec-vision": Architecture(1, "class"),
    "deit": Architecture(2, "class", pooler=True),
    # Their registers come on top.
    "dinov2": Architecture(1, "class"),
    "dinov2_with_registers": Architecture(1, "class"),
    "dinov3_vit": Architecture(1, "class"),
    "dinov3_convnext": Architecture(1),
    "clip_vision_model": Architecture(1, "class", norm="post_layernorm"),
    "swin": Architecture(pooler=True),
    "swinv2": Architecture(pooler=True),
    "convnext": Architecture(norm="layernorm"),
    "convnextv2": Architecture(norm="layernorm"),
    # Better than the mean, by measurement (docs/log.md).
    lite.KIND: Architecture(pool="rms"),
}


def facts_of(kind: str) -> Architecture:
    """What is known of a kind, by transformers' name of it; a map or plain patches where nothing is."""
    return _KNOWN.get(kind, Architecture())


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

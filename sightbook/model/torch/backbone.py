"""Backbones: pixels (B, 3, S, S) float, scaled to mean and deviation → features (B, F).

A spec is a plain mapping that stands in config.json: {"kind", "transformers": config dict, "stem", "pool"}; `build`
makes the module of a spec with random weights. Networks are our own (`resnet`, `lite`) or those of `transformers`;
`pretrained` opens some with their weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from sightbook.errors import ModelError
from sightbook.model.networks import BackboneConfig
from sightbook.model.torch import lite, resnet
from sightbook.model.torch.architectures import choose, facts_of
from sightbook.model.torch.pooling import check, pool

Spec = dict[str, Any]
_NORMS = (nn.LayerNorm, nn.BatchNorm2d)


class Backbone(nn.Module):
    """A network reduced to one feature vector a picture (`pooling.pool`). kind: a name that `architectures` knows."""

    def __init__(self, body: nn.Module, kind: str, how: str) -> None:
        super().__init__()
        facts, config = facts_of(kind), getattr(body, "config", None)
        self.body, self.how, self.features = body, check(how), _count(body)
        registers = getattr(config, "num_register_tokens", 0) if facts.leading else 0
        self.leading = 0 if how == "tokens" else facts.leading + registers
        # In a list: it is the body's already.
        self._norm = [getattr(body, facts.norm)] if facts.norm and how != "map" else []

    def forward(self, pixels: Tensor) -> Tensor:
        hidden = self.body(pixels)
        if not isinstance(hidden, Tensor):
            hidden = hidden.last_hidden_state
        pooled = pool(hidden, self.how, self.leading)
        for norm in self._norm:
            pooled = norm(pooled)
        return pooled


def spec_of(config: BackboneConfig, size: int) -> Spec:
    """The spec of a backbone that is built from numbers, for inputs of `size` pixels."""
    if config.kind == "vit":
        return {
            "kind": "vit",
            "pool": choose(config.pool, "vit"),
            "transformers": {
                "model_type": "vit",
                "image_size": size,
                "patch_size": config.patch,
                "hidden_size": config.width,
                "num_hidden_layers": config.depth,
                "num_attention_heads": config.heads,
                "intermediate_size": 4 * config.width,
                "hidden_dropout_prob": config.dropout,
                "attention_probs_dropout_prob": config.dropout,
            },
        }
    return {
        "kind": "resnet",
        "pool": choose(config.pool, "resnet"),
        "stem": {"kernel": 3, "stride": config.stem_stride},
        "transformers": {
            "model_type": "resnet",
            "embedding_size": config.stem_width,
            "hidden_sizes": list(config.widths),
            "depths": list(config.depths),
            "layer_type": "basic",
            "hidden_act": "relu",
        },
    }


def build(spec: Mapping[str, Any]) -> Backbone:
    """The module of a spec, with random weights (torch's seed decides them)."""
    facts = dict(spec["transformers"])
    kind = str(facts.pop("model_type"))
    body: nn.Module
    if kind == lite.KIND:
        body = lite.Lite()
    elif "stem" in spec:
        stem = (facts["embedding_size"], spec["stem"]["stride"])
        body = resnet.ResNet(*stem, facts["hidden_sizes"], facts["depths"])
    else:
        from transformers import AutoConfig, AutoModel

        body = AutoModel.from_config(AutoConfig.for_model(kind, **facts), **facts_of(kind).options)
    return Backbone(body, kind, spec["pool"])


def _count(body: nn.Module) -> int:
    """F: the numbers of a place in what the body says, by its configuration, else those of its last norm."""
    config = getattr(body, "config", None)
    for name in ("hidden_sizes", "hidden_size"):
        if size := getattr(config, name, None):
            return int(size[-1] if isinstance(size, (list, tuple)) else size)
    norms = [module for module in body.modules() if isinstance(module, _NORMS)]
    if not norms:
        kind = getattr(config, "model_type", "network")
        raise ModelError(
            f"the size of the features of a {kind} is not known: use a ViT, ResNet or MobileNetV2"
        )
    return int(norms[-1].weight.numel())

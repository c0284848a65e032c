"""Backbones: pixels (B, 3, S, S) float, scaled to mean and deviation → features (B, F), through `transformers`.

A spec is a plain mapping that stands in config.json: {"kind", "transformers": config dict, "stem", "pool"}; `build`
makes the module of a spec with random weights, `pretrained` reads weights from a hub name or a local folder.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from sightbook.config import BackboneConfig
from sightbook.errors import ModelError
from sightbook.model import hub

Spec = dict[str, Any]


class Backbone(nn.Module):
    """A transformers vision model reduced to one feature vector a picture."""

    def __init__(self, body: nn.Module, pool: str, features: int) -> None:
        super().__init__()
        self.body, self.pool, self.features = body, pool, features

    def forward(self, pixels: Tensor) -> Tensor:
        output = self.body(pixels)
        hidden: Tensor = output.last_hidden_state
        if self.pool == "class":
            return hidden[:, 0]
        if self.pool == "tokens":
            return hidden.mean(1)
        return hidden.mean((2, 3))


def spec_of(config: BackboneConfig, size: int) -> Spec:
    """The spec of a backbone that is built from numbers, for inputs of `size` pixels."""
    if config.kind == "vit":
        return {
            "kind": "vit",
            "pool": "class",
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
        "pool": "map",
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
    from transformers import AutoConfig, AutoModel

    facts = dict(spec["transformers"])
    config = AutoConfig.for_model(facts.pop("model_type"), **facts)
    body = AutoModel.from_config(config, **_options(facts_type(spec)))
    if "stem" in spec:
        _replace_stem(body, config.embedding_size, **spec["stem"])
    return Backbone(body, spec["pool"], _features(config))


def facts_type(spec: Mapping[str, Any]) -> str:
    """The transformers model type of a spec."""
    return str(spec["transformers"]["model_type"])


def pretrained(name: str) -> tuple[Backbone, Spec]:
    """Opens a hub name or a local folder. ModelError when it is absent, unreachable, no vision model, or pickled."""
    from transformers import AutoConfig, AutoModel

    # Code that comes with a model is never run, weights are never unpickled.
    careful = {"trust_remote_code": False, "local_files_only": Path(name).is_dir() or not hub.answers()}
    try:
        with _quiet():
            config = AutoConfig.from_pretrained(name, **careful)
            body, report = AutoModel.from_pretrained(
                name,
                config=config,
                use_safetensors=True,
                output_loading_info=True,
                **careful,
                **_options(config.model_type),
            )
    except (OSError, ValueError, KeyError) as error:
        raise hub.unusable(name, error) from None
    if body.main_input_name != "pixel_values":
        raise ModelError(
            f"{name} is no vision model but a {config.model_type}: give a ViT, DINOv2, ResNet, …"
        )
    if report["missing_keys"] or report["mismatched_keys"]:
        names = ", ".join(sorted(map(str, report["missing_keys"] or report["mismatched_keys"]))[:3])
        raise ModelError(f"the weights of {name} lack {names}: the folder is incomplete, download it again")
    spec: Spec = {
        "kind": "pretrained",
        "name": name,
        "pool": _pool(config.model_type),
        "transformers": {"model_type": config.model_type, **_plain(config.to_diff_dict())},
    }
    return Backbone(body, spec["pool"], _features(config)), spec


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """transformers draws a bar and a table for weights that it loads in a blink or leaves out on our wish."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def freeze_statistics(backbone: Backbone) -> None:
    """Keeps batch norms in evaluation mode: their running statistics are worth more than those of a small batch."""
    for module in backbone.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


_MAP_MODELS = {"resnet", "convnext", "convnextv2", "mobilenet_v1", "mobilenet_v2", "regnet", "efficientnet"}
_CLASS_TOKEN_MODELS = {
    *("vit", "deit", "beit", "data2vec-vision", "dinov2", "dinov2_with_registers", "dinov3_vit", "vit_msn"),
}


def _pool(model_type: str) -> str:
    """How one vector is made of the last hidden state: its map's mean, its class token, or its tokens' mean."""
    if model_type in _MAP_MODELS:
        return "map"
    return "class" if model_type in _CLASS_TOKEN_MODELS else "tokens"


def _options(model_type: str) -> dict[str, Any]:
    # The pooler of these models is a trained layer that we do not use: it would be a dead tensor in the optimizer.
    return {"add_pooling_layer": False} if model_type in {"vit", "deit"} else {}


def _features(config: Any) -> int:
    if config.model_type == "mobilenet_v2":
        multiplier = config.depth_multiplier
        return 1280 if config.finegrained_output and multiplier < 1 else max(1280, int(1280 * multiplier))
    for name in ("hidden_sizes", "hidden_size"):
        value = getattr(config, name, None)
        if value:
            return int(value[-1] if isinstance(value, (list, tuple)) else value)
    raise ModelError(
        f"the size of the features of a {config.model_type} is not known: use a ViT, ResNet or MobileNetV2"
    )


class _Stem(Protocol):
    convolution: nn.Module


class _Embedder(Protocol):
    embedder: _Stem
    pooler: nn.Module


class _ResNet(Protocol):
    """The attributes of transformers' ResNetModel that we replace."""

    embedder: _Embedder


def _replace_stem(body: nn.Module, width: int, kernel: int, stride: int) -> None:
    """Our 3×3 stem without max-pooling: transformers' 7×7 stem of stride 4 leaves 8×8 of a 32-pixel picture.

    Stride 4 is two 3×3 convolutions of stride 2.
    """
    embedder = cast(_ResNet, body).embedder
    if stride == 4:
        convolution: nn.Module = nn.Sequential(
            nn.Conv2d(3, width, kernel, 2, kernel // 2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, kernel, 2, kernel // 2, bias=False),
        )
    else:
        convolution = nn.Conv2d(3, width, kernel, stride, kernel // 2, bias=False)
    for module in convolution.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    embedder.embedder.convolution = convolution
    embedder.pooler = nn.Identity()


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    skip = {
        "transformers_version",
        "architectures",
        "dtype",
        "torch_dtype",
        "_name_or_path",
        "id2label",
        "label2id",
    }
    return {key: value for key, value in facts.items() if key not in skip and key != "model_type"}


def channels_last(module: nn.Module) -> nn.Module:
    """Convolutions run faster on this layout, on CPU and GPU alike; other layers do not care."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

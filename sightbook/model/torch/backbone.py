"""Backbones: pixels (B, 3, S, S) float, scaled to mean and deviation → features (B, F), through `transformers`.

A spec is a plain mapping that stands in config.json: {"kind", "transformers": config dict, "stem", "pool"}; `build`
makes the module of a spec with random weights, `pretrained` reads weights from a hub name or a local folder; `freeze`
says which of its blocks are trained.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from sightbook.errors import ConfigError, ModelError
from sightbook.model import builtin, hub, known
from sightbook.model.networks import BackboneConfig
from sightbook.model.torch import lite, pooling

Spec = dict[str, Any]


class Backbone(nn.Module):
    """A transformers vision model reduced to one feature vector a picture (`pooling.pool`)."""

    def __init__(self, body: nn.Module, how: str, features: int) -> None:
        super().__init__()
        config = cast(Any, body).config
        self.body, self.features = body, features
        self.how = pooling.check(how)
        self.leading = 0 if how == "tokens" else pooling.leading_tokens(config.model_type, config.to_dict())
        name = pooling.norm_after(config.model_type)
        self._norm = (
            [getattr(body, name)] if name and how != "map" else []
        )  # in a list: it is the body's already

    def forward(self, pixels: Tensor) -> Tensor:
        pooled = pooling.pool(self.body(pixels).last_hidden_state, self.how, self.leading)
        for norm in self._norm:
            pooled = norm(pooled)
        return pooled


def spec_of(config: BackboneConfig, size: int) -> Spec:
    """The spec of a backbone that is built from numbers, for inputs of `size` pixels."""
    if config.kind == "vit":
        return {
            "kind": "vit",
            "pool": pooling.choose(config.pool, "vit"),
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
        "pool": pooling.choose(config.pool, "resnet"),
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
    if facts["model_type"] == lite.KIND:
        return Backbone(lite.Lite(), spec["pool"], lite.FEATURES)
    config = AutoConfig.for_model(facts.pop("model_type"), **facts)
    body = AutoModel.from_config(config, **_options(config.model_type))
    if "stem" in spec:
        _replace_stem(body, config.embedding_size, **spec["stem"])
    return Backbone(body, spec["pool"], _features(config))


# Names under which transformers' vision networks have dropout of hidden states and of attention.
_DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob")


def pretrained(name: str, pool: str = "auto", dropout: float = 0.0) -> tuple[Backbone, Spec]:
    """Opens a hub name, a local folder or the built-in network; of CLIP and SigLIP their vision tower alone.

    dropout: in training, in place of what the network comes with; 0 leaves it as it is.

    ModelError when it is absent, unreachable, no vision model, pickled, or when weights are missing; ConfigError for a
    pooling or a dropout that it does not have.
    """
    from transformers import AutoConfig, AutoModel

    if name == builtin.BUILTIN:
        if dropout:
            raise _without_dropout(name, dropout)
        return _builtin(pool)
    # Code that comes with a model is never run, weights are never unpickled.
    careful = {"trust_remote_code": False, "local_files_only": Path(name).is_dir() or not hub.answers()}
    try:
        with _quiet():
            config = AutoConfig.from_pretrained(name, **careful)
            config = getattr(config, "vision_config", config)
            if hasattr(config, "vision_use_head"):
                config.vision_use_head = False  # SigLIP's own pooling, a trained layer that we do not use
            if dropout:
                if not all(hasattr(config, each) for each in _DROPOUTS):
                    raise _without_dropout(name, dropout)
                for each in _DROPOUTS:
                    setattr(config, each, dropout)
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
    foreign = sorted(key for key in map(str, report["unexpected_keys"]) if not _BESIDE & set(key.split(".")))
    if foreign:
        raise ModelError(
            f"{name} holds weights that a {config.model_type} has no place for ({', '.join(foreign[:3])}): its "
            "config.json belongs to another model, download both again"
        )
    facts = known.of(name)
    spec: Spec = {
        "kind": "pretrained",
        "name": name,
        "licence": facts.licence,
        "pretraining": "stated" if facts.certain else "unknown",
        "pool": pooling.choose(pool, config.model_type),
        "transformers": {"model_type": config.model_type, **_plain(config.to_diff_dict())},
    }
    return Backbone(body, spec["pool"], _features(config)), spec


def _without_dropout(name: str, dropout: float) -> ConfigError:
    return ConfigError(f"backbone.dropout {dropout:g} would do nothing: {name} has no dropout; leave it out")


def _builtin(pool: str) -> tuple[Backbone, Spec]:
    """The network that comes with the program, as `pretrained` gives others."""
    from sightbook.model.torch.builtin import body

    ours = builtin.read()
    made = body(ours)
    config = cast(Any, made).config
    spec: Spec = {
        "kind": "pretrained",
        "name": ours.name,
        "licence": ours.licence,
        "pool": pooling.choose(pool, config.model_type),
        "transformers": dict(ours.transformers),
    }
    return Backbone(made, spec["pool"], ours.features), spec


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


# Parts of a checkpoint beside the vision model: classifiers, poolers, decoders, the text tower.
_BESIDE = {
    *(
        "classifier",
        "cls_classifier",
        "distillation_classifier",
        "pooler",
        "head",
        "lm_head",
        "fc",
        "decoder",
    ),
    *(
        "text_model",
        "text_projection",
        "visual_projection",
        "logit_scale",
        "logit_bias",
        "mask_token",
        "projector",
    ),
}


def freeze(backbone: Backbone, part: str) -> None:
    """Leaves only `part` of the backbone to training: all, head (nothing of it), or last:N.

    last:N trains the last N blocks (transformer layers, or stages of a convolutional network) and what stands behind
    them, such as the final norm. ConfigError when there are no N blocks.
    """
    if part == "all":
        return
    backbone.requires_grad_(False)
    if part == "head":
        return
    count = int(part.removeprefix("last:"))
    blocks = _blocks(backbone.body)
    if count > len(blocks):
        raise ConfigError(
            f"backbone.train {part}: this backbone has {len(blocks)} blocks, give last:1 to last:{len(blocks)}"
        )
    for block in blocks[-count:]:
        block.requires_grad_(True)
    last = {id(parameter) for parameter in blocks[-1].parameters()}
    behind = False
    for parameter in backbone.body.parameters():  # in the order of the layers
        if id(parameter) in last:
            behind = True
        elif behind:
            parameter.requires_grad_(True)


def _blocks(body: nn.Module) -> list[nn.Module]:
    """The network's blocks in order: its list of modules that holds most of the weights; the outermost of equals."""
    lists: list[nn.ModuleList] = [module for module in body.modules() if isinstance(module, nn.ModuleList)]
    if not lists:
        return []
    sizes = [sum(parameter.numel() for parameter in found.parameters()) for found in lists]
    return list(lists[sizes.index(max(sizes))])


def _options(model_type: str) -> dict[str, Any]:
    # The pooler of these models is a trained layer that we do not use: it would be a dead tensor in the optimizer.
    return {"add_pooling_layer": False} if model_type in {"vit", "deit", "swin", "swinv2", "beit"} else {}


def _features(config: Any) -> int:
    if config.model_type == "mobilenet_v2":
        multiplier = config.depth_multiplier
        return 1280 if config.finegrained_output and multiplier < 1 else max(1280, int(1280 * multiplier))
    if config.model_type == "mobilenet_v1":
        return max(int(config.min_depth), int(1024 * config.depth_multiplier))
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


class _Thinned(nn.Conv2d):
    """A 1×1 convolution of some stride as one of stride 1 over every such pixel: the same sums, the same parameters.

    torch 2.13 writes beyond its memory in the backward pass of the former on a CPU, with fewer than 16 channels and
    channels last, on pictures of 64 pixels or more (docs/log.md).
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        down, right = self.stride
        return nn.functional.conv2d(input[:, :, ::down, ::right], self.weight, self.bias)


_CRASHES_BELOW = 16  # channels


def channels_last(module: nn.Module) -> nn.Module:
    """Convolutions run faster on this layout, on CPU and GPU alike; other layers do not care."""
    for each in module.modules():
        if (
            type(each) is nn.Conv2d
            and each.kernel_size == (1, 1)
            and max(each.stride) > 1
            and each.padding == (0, 0)
            and each.groups == 1
            and each.in_channels < _CRASHES_BELOW
        ):
            each.__class__ = _Thinned
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

"""Pretrained backbones: a hub name, a local folder in the hub's layout, or the built-in network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sightbook.errors import ConfigError, ModelError
from sightbook.model import builtin, hub, known
from sightbook.model.torch import lite
from sightbook.model.torch.architectures import choose, facts_of
from sightbook.model.torch.backbone import Backbone, Spec

# Parts of a checkpoint beside the vision model: classifiers, poolers, decoders, the text tower.
_BESIDE = {
    "classifier", "cls_classifier", "distillation_classifier", "pooler", "head", "lm_head", "fc", "decoder",
    "text_model", "text_projection", "visual_projection", "logit_scale", "logit_bias", "mask_token", "projector",
}  # fmt: skip
# Of a network's facts what says nothing of how it is built, and its kind, which stands beside.
_ABOUT = {
    "transformers_version", "architectures", "dtype", "torch_dtype", "_name_or_path", "id2label", "label2id",
    "model_type",
}  # fmt: skip
# Names under which transformers' vision networks have dropout of hidden states and of attention.
_DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob")


def open_pretrained(
    name: str, pool: str = "auto", dropout: float = 0.0, *, stated: bool = False
) -> tuple[Backbone, Spec]:
    """Opens a hub name, a local folder or the built-in network; of CLIP and SigLIP their vision tower alone.

    dropout: in training, in place of what the network comes with; 0 leaves it as it is. stated: whether the user said
    how it was pretrained.

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
                **facts_of(config.model_type).options,
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
        "pretraining": "stated" if stated or facts.certain else "unknown",
        "pool": choose(pool, config.model_type),
        "transformers": {"model_type": config.model_type, **_plain(config.to_diff_dict())},
    }
    return Backbone(body, config.model_type, spec["pool"]), spec


def _without_dropout(name: str, dropout: float) -> ConfigError:
    return ConfigError(f"backbone.dropout {dropout:g} would do nothing: {name} has no dropout; leave it out")


def _builtin(pool: str) -> tuple[Backbone, Spec]:
    """The network that comes with the program, as `pretrained` gives others."""
    from sightbook.model.torch.builtin import body

    ours = builtin.read()
    spec: Spec = {
        "kind": "pretrained",
        "name": ours.name,
        "licence": ours.licence,
        "pool": choose(pool, lite.KIND),
        "transformers": dict(ours.transformers),
    }
    return Backbone(body(ours), lite.KIND, spec["pool"]), spec


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


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the network, of what transformers tells."""
    return {key: value for key, value in facts.items() if key not in _ABOUT}

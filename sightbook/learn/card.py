"""The model card: what a stranger should know before using a MODEL folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sightbook.learn.settings.layers import Settings
from sightbook.model.config import ModelConfig
from sightbook.words import counted

if TYPE_CHECKING:
    from sightbook.learn.verdict import Verdict

_PRETRAINING = {
    "none": "no pretrained weights: everything was learned from the collection itself, without labels",
    "self-supervised": "the backbone was pretrained without labels",
    "labels": "the backbone was pretrained with labels, so results are not fully unsupervised",
}


def _pretraining(config: ModelConfig) -> str:
    if config.told_pretraining != config.pretraining:
        return (
            "labels: what the backbone was pretrained with is not stated anywhere, so results count as not fully "
            "unsupervised"
        )
    return f"{config.pretraining}: {_PRETRAINING[config.pretraining]}"


def _tell_choice(trained: Mapping[str, Any]) -> str:
    if "selected_step" not in trained:
        return "the state at the end of training"
    return (
        f"of several states during training that whose codes know held-out pictures best, after "
        f"{counted(trained['selected_step'], 'step')}"
    )


def described_card(config: ModelConfig, train: Settings) -> str:
    """Markdown text of README.md of a model that was learned in closed form."""
    assert config.frame is not None, "what learns from pictures takes pictures"
    trained, network, frame = config.trained, config.network["backbone"], config.frame
    name = network.get("name") or network["transformers"]["model_type"]
    looked_at = trained["looked_at"]
    strength = ", ".join(f"{key} {value:g}" for key, value in trained["strength"].items())
    chosen = "as asked" if train["strength"] else "chosen without labels"
    verdict = config.verdict
    judged = "too few pictures to judge them without labels"
    if verdict.get("agreement") is not None:
        judged = (
            f"descriptions of two disjoint halves of the features agree on {verdict['agreement']:.1%} of a picture's "
            f"ten nearest; the halves as they are on {verdict['before']:.1%}"
        )
    return f"""# A sightbook model: {config.bits}-bit codes

Turns a picture into a code of {config.bits} bits ({config.M} clusterings of {config.K}) such that similar pictures get
similar codes. Written by sightbook {config.sightbook}, model format {config.format}.

| | |
|---|---|
| method | {config.method}: closed form, from the collection's own neighbourhoods, without labels |
| backbone | {network["kind"]} ({name}), not trained |
| input | {frame.size} × {frame.size} pixels, the centre of the picture after its shorter side became {frame.resize} |
| pretraining | {_pretraining(config)} |
| licence of the backbone | {network.get("licence", "unknown")} |
| learned from | {counted(trained["pictures"], "picture")}, {looked_at:,} looked at, {trained["distinct"]:,} distinct |
| besides | {trained["failed"]:,} that could not be read |
| strength | {strength} ({chosen}) |
| shorter codes inside | {", ".join(map(str, config.nested)) or "none"} bits |
| seed | {trained["seed"]} |
| fingerprint | `{config.fingerprint}` |

## Verdict, without labels
{judged[0].upper()}{judged[1:]}.

## Use
    sightbook add LIBRARY PICTURES --model THIS_FOLDER
    sightbook search LIBRARY PICTURE

`encoder.onnx` takes pixels (N, {frame.size}, {frame.size}, 3) uint8 and returns features (N, {config.features});
`description.safetensors` makes embeddings (N, {config.D}) of them; `codebooks.safetensors` holds the codewords
({config.M}, {config.K}, {config.d}), each codebook for the whole embedding.
"""


def card(config: ModelConfig, train: Settings, verdict: Verdict) -> str:
    """Markdown text of MODEL/README.md. train: the settings, as train/config.yaml holds them."""
    trained = config.trained
    budget = (
        counted(train["epochs"], "epoch") if train["epochs"] is not None else f"{train['minutes']:g} minutes"
    )
    network = config.network["backbone"]
    assert config.frame is not None, "what learns from pictures takes pictures"
    frame, size = config.frame, config.frame.size
    name = network.get("name") or network["transformers"]["model_type"]
    terms = "".join(
        f"\n| {name.replace('_', ' ')} | {value if isinstance(value, bool | str) else format(value, 'g')} |"
        for name, value in train["terms"].items()
    )
    steps = (
        f"{counted(trained['steps'], 'step')} of {counted(trained['batch'], 'picture')}, "
        f"{trained['seconds'] / 60:.1f} minutes"
    )
    return f"""# A sightbook model: {config.bits}-bit codes

Turns a picture into a code of {config.bits} bits ({config.M} codebooks of {config.K} codewords) such that similar
pictures get similar codes. Written by sightbook {config.sightbook}, model format {config.format}.

| | |
|---|---|
| method | {config.method} |
| backbone | {network["kind"]} ({name}), {trained["parameters"]:,} parameters in all |
| input | {size} × {size} pixels, the centre of the picture after its shorter side became {frame.resize} |
| pretraining | {_pretraining(config)} |
| licence of the backbone | {network.get("licence", "yours: nothing but your pictures went in")} |
| choice of the weights | {config.selection}: {_tell_choice(trained)} |
| trained on | {counted(trained["pictures"], "picture")} |
| besides | {trained["held_out"]:,} held out for the verdict, {trained["failed"]:,} that could not be read |
| budget | {budget}: {steps} on {trained["device"]} ({trained["precision"]}) |
| seed | {train["seed"]} |
| codebooks | {train["codebooks"]} |
| clip, τ, α | {train["clip"]}, {train["tau"]:g}, {train["alpha"]:g} |{terms}
| fingerprint | `{config.fingerprint}` |

## Verdict, without labels
{verdict.sentence(config.bits, trained["steps"], clusters=train["quantizer"] == "kmeans")}

This tells whether codes recognize a picture under crops and changes of colour. It does not tell how well they group
pictures by what a person sees in them: `sightbook evaluate` does, where labels exist.

## Use
    sightbook add LIBRARY PICTURES --model THIS_FOLDER
    sightbook search LIBRARY PICTURE

`encoder.onnx` takes pixels (N, {size}, {size}, 3) uint8 and returns embeddings (N, {config.D});
`codebooks.safetensors` holds the codewords ({config.M}, {config.K}, {config.d}); `model.safetensors`
holds the weights for torch; `train/` tells how it came about.
"""

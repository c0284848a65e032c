"""From what a user asked for to a validated configuration: settings file, options, preset, backbone, method.

Data flow: `overlay` (the user's own settings as one mapping) → `choice.choose` (a network, where none was named) →
`complete` (over the layers of the preset) → `reasons` (why it is as it is); of a run that goes on `take_up`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sightbook.describe.learn import NUMBERS
from sightbook.errors import ConfigError
from sightbook.learn.choice import Choice, by_steps
from sightbook.learn.methods.method import Method
from sightbook.learn.methods.registry import find, names
from sightbook.learn.settings.config import TrainConfig, build
from sightbook.learn.settings.layers import (
    Settings,
    check_sections,
    merge,
    parse_path,
    parse_setting,
    read_file,
)
from sightbook.learn.settings.presets import (
    DEFAULT_FROZEN_METHOD,
    DEFAULT_METHOD,
    DEFAULT_PAPER_METHOD,
    WIDE_FROM,
)
from sightbook.learn.settings.presets import layers as preset_layers
from sightbook.model.builtin import BUILTIN
from sightbook.words import counted, verb

DEFAULT_MINUTES = 10.0
# A head on cached features: after that its label-free verdict hardly moves on some thousand photos (docs/log.md).
DEFAULT_HEAD_MINUTES = 2.0

Path_ = str | os.PathLike[str]


def overlay(
    config: Path_ | None,
    settings: Mapping[str, Any] | None,
    **named: Any,
) -> dict[str, Any]:
    """The user's own settings as one nested mapping; named arguments stand above the file, --set above all."""
    each = [
        parse_setting(f"{key}={value}") if isinstance(value, str) else parse_path(key, value)
        for key, value in (settings or {}).items()
    ]
    for setting in each:  # one by one: laid over each other, a section would hide a word in its place
        check_sections(setting)
    one_by_one = merge(*each)
    file = _file_layer(Path(config), named.get("bits")) if config is not None else {}
    given = {key: value for key, value in named.items() if value is not None}
    method = merge(given, one_by_one).get("method", file.get("method"))
    if method != file.get("method"):
        file.pop("terms", None)  # those of the file's method, which another one does not have
    asked: dict[str, Any] = {}
    for layer in (file, given, one_by_one):
        budget = {"epochs", "minutes"} & set(layer)
        if len(budget) == 2:
            raise ConfigError("the budget is either epochs or minutes: give one of them")
        if budget:  # a later budget replaces an earlier one of the other kind
            asked = {key: value for key, value in asked.items() if key not in {"epochs", "minutes"}}
        asked = merge(asked, layer)
    return asked


def _file_layer(path: Path, bits: Any) -> dict[str, Any]:
    """The settings of a file; budgets that it leaves open (null) say nothing, and `bits` replaces its M and D."""
    content = read_file(path)
    unsaid = {key for key in ("epochs", "minutes") if content.get(key) is None}
    if bits is not None:
        unsaid |= {"M", "D", "bits"}
    return {key: value for key, value in content.items() if key not in unsaid}


def complete(
    asked: Mapping[str, Any],
    preset: str | None,
    backbone: str | None,
    shorter: int,
    *,
    nested: bool = False,
    pictures: int = 0,
    gpu: bool = False,
) -> TrainConfig:
    """The settings over their preset. `preset` and `backbone` are the command's; the settings may name them, too. gpu:
    whether a network learns from scratch on one."""
    asked = dict(asked)
    bits = asked.pop("bits", None)
    preset = _one_of("preset", preset, asked.pop("preset", None))
    backbone = _one_of("backbone", backbone, name_backbone(asked))
    section = asked.get("backbone", {})
    frozen = section.get("train") == "head"
    pretrained = backbone not in (None, "vit", "resnet")
    usual = DEFAULT_PAPER_METHOD if preset == "paper" else DEFAULT_METHOD
    method = str(asked.get("method", DEFAULT_FROZEN_METHOD if frozen and pretrained else usual))
    if method == "neighbours":
        _refuse_steps(asked)
        asked["backbone"] = {**section, "train": "head"}
    # 256 codewords need pictures to be learned from, and a code of whole bytes; whoever gives M means K = 16.
    suits = pictures >= WIDE_FROM and "M" not in asked and (not isinstance(bits, int) or bits % 8 == 0)
    wide = asked.get("K", 256 if suits else 16) == 256
    layers = preset_layers(preset, shorter, backbone, method, frozen=frozen, wide=wide, gpu=gpu)
    if pretrained:
        layers.append(_pretrained_input(str(backbone)))
        if preset == "paper" and not frozen:
            layers.append(_dropout(str(backbone), find(method)))
    merged = merge(*layers, asked)
    if method == "neighbours":
        nested, merged["nested"] = True, ()  # a code of independent clusterings is nested anyway
    elif "epochs" not in merged and "minutes" not in merged:
        merged["minutes"] = DEFAULT_HEAD_MINUTES if frozen else DEFAULT_MINUTES
    _set_length(merged, bits)
    if method == "neighbours":
        merged["D"] = NUMBERS
    if nested and "nested" not in asked and isinstance(merged["M"], int):
        whole = merged["M"] * _word_bits(merged)
        merged["nested"] = [length for length in (16, 32, 64) if length < whole]
        if not merged["nested"] and method != "neighbours":
            raise ConfigError(f"no shorter code than {whole} bits can be nested: give 24 bits or more")
    if "size" in asked and "resize" not in asked:
        merged["resize"] = merged["size"]
    return build([merged])


def _word_bits(settings: Settings) -> int:
    """Bits that name a codeword."""
    return 8 if settings.get("K", 16) == 256 else 4


def _set_length(merged: dict[str, Any], bits: Any) -> None:
    """Codebooks M, and numbers D of an embedding, for a code of `bits`, None: not asked for."""
    word_bits = _word_bits(merged)
    if "M" not in merged:
        if not isinstance(bits, int) and bits is not None:
            raise ConfigError(f"bits {bits!r} is not a whole number: give 16 to 128")
        wanted = 64 if bits is None else bits
        if wanted % word_bits or not 16 <= wanted <= 128:
            raise ConfigError(
                f"{wanted} bits cannot be made of codebooks of {2**word_bits} codewords ({word_bits} bits each): "
                f"give a multiple of {word_bits} from 16 to 128"
            )
        merged["M"] = wanted // word_bits
    elif bits is not None and isinstance(merged["M"], int) and merged["M"] * word_bits != bits:
        raise ConfigError(
            f"M={merged['M']} codebooks make {merged['M'] * word_bits} bits, not {bits}: give one of the two"
        )
    if "D" not in merged and isinstance(merged["M"], int):
        # Clusters of overlapping halves of the features need room: what tells pictures apart is more than 16 numbers.
        wide = merged.get("K") == 256 and merged.get("quantizer") == "kmeans"
        merged["D"] = (64 if wide else 16) * merged["M"]


def _refuse_steps(asked: Mapping[str, Any]) -> None:
    """ConfigError for settings of learning by steps, which would do nothing in closed form."""
    foreign = sorted(by_steps(asked))
    if foreign:
        raise ConfigError(
            f"{', '.join(foreign)} would do nothing in method neighbours, which learns in closed form, in seconds: "
            "leave it out, or choose another --method"
        )


def _one_of(what: str, option: str | None, setting: str | None) -> str | None:
    """What either names; ConfigError when both do, and differently: much else follows from it."""
    if option is not None and setting is not None and option != setting:
        raise ConfigError(
            f"--{what} {option} contradicts {what} {setting} in the settings: give one of the two"
        )
    return setting if option is None else option


def name_backbone(asked: Mapping[str, Any]) -> str | None:
    """The backbone that the settings ask for, in the words of --backbone: a preset's rates and sizes depend on it."""
    section = asked.get("backbone", {})
    kind = section.get("kind", "pretrained" if section.get("name") else None)
    if kind == "pretrained" and section.get("name"):
        return str(section["name"])
    return kind if kind in ("vit", "resnet") else None  # anything else is refused with its reason later on


def _pretrained_input(name: str) -> dict[str, Any]:
    from sightbook.model.hub import preprocessing

    facts = preprocessing(name)
    return {"size": facts.size, "resize": facts.resize}


def _dropout(name: str, method: Method) -> Settings:
    """The dropout of the method's paper, where it tells one and the network `name` has such."""
    from sightbook.model.hub import has_dropout

    told = method.paper.settings.get("backbone", {}).get("dropout")
    return {"backbone": {"dropout": told}} if told and has_dropout(name) else {}


def take_up(work: Path, asked: Mapping[str, Any], backbone: str | None, preset: str | None) -> TrainConfig:
    """The settings the run began with; ConfigError when the command asks for others."""
    before = read_file(work / "config.yaml")
    if (method := str(before.get("method"))) not in names():
        raise ConfigError(
            f"{work.parent} was begun with method {method!r}, which is not known here: install the package that brings "
            f"it, or give its file again, --method FILE.py:{method}"
        )
    config = build([before])
    # Closed form that was chosen without being named spends no budget, which was said when it began.
    wanted = {
        key: value
        for key, value in asked.items()
        if not (config.closed_form and "method" not in asked and key in ("minutes", "epochs"))
    }
    bits = wanted.pop("bits", config.bits)
    differing = [key for key, value in wanted.items() if _changes(config, before, {key: value})]
    if bits != config.bits:
        differing.append("bits")
    if preset is not None and preset != config.preset:
        differing.append("preset")
    kind = config.backbone.name or config.backbone.kind
    if backbone is not None and backbone != kind:
        differing.append("backbone")
    if differing:
        raise ConfigError(
            f"{work.parent} was begun with other settings ({', '.join(sorted(differing))}): "
            "resume without them, or start anew with another --out"
        )
    return config


def _changes(config: TrainConfig, before: Mapping[str, Any], setting: Mapping[str, Any]) -> bool:
    try:
        return build([before, setting]) != config
    except ConfigError:
        return True


def reasons(
    config: TrainConfig, choice: Choice, *, preset: str | None, shorter: int, pictures: int, gpu: bool = False
) -> list[str]:
    """What `choice`, which has its own sentences, leaves open. preset: as the command named it; shorter: median shorter
    side of the pictures in pixels; pictures: how many there are; gpu: as of `complete`."""
    asked = choice.asked
    network = config.backbone.name or config.backbone.kind
    found = []
    if preset is None and "preset" not in asked and not config.closed_form:
        found.append(f"preset {config.preset}: the shorter side of the pictures is {shorter} pixels (median)")
    if config.backbone.name and "size" not in asked:
        whose = "the built-in network" if network == BUILTIN else "the backbone"
        found.append(f"size {config.size}: what {whose} was made for")
    if "method" not in asked:
        kept = config.backbone.train == "head"
        why = "nothing of the backbone is trained" if kept else "the default where a network learns"
        found.append(f"method {config.method}: {why}")
    elif config.closed_form and "train" not in asked.get("backbone", {}):
        found.append(f"backbone.train head: method {config.method} trains nothing of the backbone")
    frozen = config.backbone.train == "head" and not config.closed_form
    if frozen and not {"K", "M"} & set(asked) and config.quantizer == "kmeans":
        are = f"{counted(pictures, 'picture')} {verb(pictures, 'are')}"
        enough = "enough" if config.K == 256 else "too few"
        found.append(f"K {config.K}: {are} {enough} for 256 codewords (from {WIDE_FROM} on)")
    batch = find(config.method).gpu.get("batch")
    if gpu and "batch" not in asked and config.batch == batch:
        found.append(f"batch {batch}: a GPU's step takes hardly longer than one for a few pictures")
    if config.preset == "paper":
        found += _of_paper(config)
    if not config.closed_form and not {"minutes", "epochs"} & set(asked):
        found.append(f"minutes {config.minutes:g}: neither minutes nor epochs were given")
    if config.closed_form and config.nested:
        shorter_codes = ", ".join(map(str, config.nested))
        found.append(f"nested {shorter_codes}: a code in closed form has them in any case")
    return found


def _of_paper(config: TrainConfig) -> list[str]:
    """What a reader of the method's paper must know of `--preset paper`."""
    paper = find(config.method).paper
    found = [f"preset paper, {config.method}: {one}" for one in paper.instead]
    if paper.untold:
        found.append(f"preset paper: not published, so our own values: {', '.join(paper.untold)}")
    if paper.epochs is not None:
        found.append(f"preset paper: the paper trains for {paper.epochs:,} epochs (--epochs {paper.epochs})")
    return found
